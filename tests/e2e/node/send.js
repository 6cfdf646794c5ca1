// SPDX-License-Identifier: ISC
// node send.js PORT FROM TO FILE OUT [wrapped|starttls CAFILE USER PASSWORD]: sends a message with FILE attached through the server at
// 127.0.0.1:PORT, keeps in OUT the bytes that it was made of, and prints the server's last reply.
"use strict";
const fs = require("fs");
const nodemailer = require("nodemailer");

const [port, from, to, file, out, mode, ca, user, pass] = process.argv.slice(2);

async function main() {
  const mail = {
    from: { name: "Jürgen Sender", address: from },
    to,
    subject: "Grüße mit Anhang",
    text: "Plain text.\n.\n..two dots\n" + "x".repeat(300) + "\n",
    html: "<p>Text with <b>tags</b> &amp; ümläuts.</p>",
    attachments: [{ filename: "bytes.bin", content: fs.readFileSync(file) }],
  };
  // The same message, as bytes: boundaries and Message-ID are chance, so it is composed once.
  const composed = await nodemailer.createTransport({ streamTransport: true, buffer: true, newline: "windows" })
    .sendMail(mail);
  fs.writeFileSync(out, composed.message);
  const server = nodemailer.createTransport({ host: "127.0.0.1", port: Number(port), secure: mode === "wrapped",
    ignoreTLS: !mode, requireTLS: mode === "starttls", name: "client.example.test",
    ...(mode ? { auth: { user, pass }, tls: { ca: fs.readFileSync(ca), servername: "mail.example.test" } } : {}) });
  const info = await server.sendMail({ envelope: { from, to: [to] }, raw: composed.message });
  server.close();
  console.log(info.response);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
