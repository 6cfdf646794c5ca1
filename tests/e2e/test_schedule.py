# SPDX-License-Identifier: ISC
"""What goes out when: rates, small mail before a big list, a queue that is longer than what fits in memory."""

import asyncio
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, wait_until  # noqa: E402
from test_smtp_client import BODY, Handler  # noqa: E402

from aiosmtpd.controller import Controller  # noqa: E402


class Gate(Handler):
    """Answers the end of data when it is opened."""

    def __init__(self):
        super().__init__()
        self.open = threading.Event()
        self.waiting = 0

    async def handle_DATA(self, server, session, envelope):
        self.waiting += 1
        while not self.open.is_set():
            await asyncio.sleep(0.01)
        return await super().handle_DATA(server, session, envelope)


class Schedule(unittest.TestCase):
    def start(self, handler, **main_cf):
        port = free_port()
        server = Controller(handler, hostname="127.0.0.1", port=port, decode_data=False)
        server.start()
        self.addCleanup(server.stop)
        mta = Instance({"relayhost": f"[127.0.0.1]:{port}", **main_cf})
        self.addCleanup(mta.close)
        return mta.start()

    def send(self, mta, *recipients):
        with mta.smtp() as s:
            s.sendmail("a@example.test", recipients, BODY)

    def test_rates_let_all_pass_in_the_end(self):
        for settings in ({"smtp_destination_message_rate": "2/1s"}, {"smtp_destination_rate_delay": "1s"},
                         {"smtp_transport_rate_delay": "1s"},
                         {"smtp_destination_message_rate": "inline:{127.0.0.1=1/1s}"}):
            handler = Handler()
            mta = self.start(handler, **settings)
            for i in range(3):
                self.send(mta, f"u{i}@foreign.test")
            wait_until(lambda: len(handler.messages) == 3, 30, f"{settings}; log:\n" + mta.log()[-3000:])

    def test_small_mail_overtakes_a_list(self):
        gate = Gate()
        mta = self.start(gate, smtp_destination_concurrency_limit="1", smtp_destination_recipient_limit="2")
        self.send(mta, *(f"u{i}@foreign.test" for i in range(100)))
        wait_until(lambda: gate.waiting, 30, "the first of the list")
        self.send(mta, "small@foreign.test")
        mta.wait_log("nrcpt=1 (queue active)")
        gate.open.set()
        wait_until(lambda: len(gate.messages) == 51, 60, "all; log:\n" + mta.log()[-3000:])
        order = [m[1] for m in gate.messages]
        self.assertLess(order.index(["small@foreign.test"]), 5)

    def test_more_than_fits_in_memory(self):
        gate = Gate()
        mta = self.start(gate, qmgr_message_active_limit="3", in_flow_delay="1s")
        for i in range(8):
            self.send(mta, f"u{i}@foreign.test")
        wait_until(lambda: gate.waiting >= 3, 30, "three under way")
        gate.open.set()
        wait_until(lambda: len(gate.messages) == 8, 60, "all; log:\n" + mta.log()[-3000:])


if __name__ == "__main__":
    unittest.main()
