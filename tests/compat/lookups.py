# SPDX-License-Identifier: ISC
"""What both servers' postmap is asked: (type, text of the table, keys).  In `IN_PLACE` the table is its own name."""

PATTERNS = r"""# a comment
/^a(.*)z$/i	first $1 and ${1} and $(1)
/^dollar$/	costs $$5
!/@/	no at sign
if /@example\.test$/
/^(user)\+(.*)@/	$1 with $2
/^postmaster@/	the postmaster
endif
if !/\.test$/
/^(.+)@(.+)$/	$2!$1
endif
/^x(y)?z@/	optional <$1>
/^many(1)(2)(3)(4)(5)(6)(7)(8)(9)(A)@/	$10$9
/slash\/in it/	slashed
/^space /	   leading and trailing  
/^continued@/	one
	two
"""
KEYS = ["abcz", "ABCZ", "az", "dollar", "DOLLAR", "nothing", "user+ext@example.test", "postmaster@example.test", "a@example.test",
        "who@elsewhere.net", "xyz@a.test", "xz@a.test", "many123456789A@a.test", "slash/in it@a.test", "continued@a.test", "a@b@c"]
NETWORKS = """192.0.2.0/24	net
192.0.2.7	host, never
!203.0.113.0/24	not there
2001:db8::/32	six
2001:db8:1::5	six host
if 198.51.100.0/24
198.51.100.1	one
198.51.100.0/25	half
endif
0.0.0.0/0	all of four
::/0	all of six
"""
ADDRESSES = ["192.0.2.7", "192.0.2.255", "203.0.113.9", "198.51.100.1", "198.51.100.77", "198.51.100.200", "2001:db8::1",
             "2001:db8:1::5", "2001:DB8:1::5", "::1", "1.2.3.4", "no address", "192.0.2.7/32", "01.2.3.4"]
TEXT = """key value
Upper CASE of Value
  indented continues
spaced     many   blanks  in  it
tab	tabbed
user@example.test a, b
dup first
dup second
colon: kept
"quoted key" value of it
@domain.test all
"""
TEXT_KEYS = ["key", "KEY", "upper", "Upper", "spaced", "tab", "user@example.test", "USER@EXAMPLE.TEST", "dup", "colon:", "colon",
             "quoted key", "\"quoted key\"", "@domain.test", "missing", " key"]

FILES = [("regexp", PATTERNS, KEYS), ("pcre", PATTERNS, KEYS), ("cidr", NETWORKS, ADDRESSES), ("texthash", TEXT, TEXT_KEYS),
         ("hash", TEXT, TEXT_KEYS), ("btree", TEXT, TEXT_KEYS), ("lmdb", TEXT, TEXT_KEYS), ("cdb", TEXT, TEXT_KEYS)]
IN_PLACE = [
    ("static:always", ["x", ""]), ("static:{ with blanks }", ["x"]), ("fail:whatever", ["x"]),
    ("inline:{a=1, b=2}", ["a", "b", "c", "A"]), ("inline:{ {a = one two} {b=x} }", ["a", "b"]), ("inline:{}", ["a"]),
    ("unionmap:{static:one,static:two}", ["x"]), ("unionmap:{inline:{a=1},inline:{a=2,b=3}}", ["a", "b", "c"]),
    ("pipemap:{inline:{a=b},inline:{b=c}}", ["a", "b"]), ("pipemap:{static:x,inline:{x=y}}", ["any"]),
    ("pipemap:{inline:{a=b},fail:no}", ["a", "z"]), ("unionmap:{inline:{a=1},fail:no}", ["a", "z"]),
    ("randmap:{only}", ["x"]), ("environ:", ["NOTHING_OF_THE_KIND"]), ("unix:passwd.byname", ["root", "nobody-of-that-name"]),
    ("unix:group.byname", ["root", "nobody-of-that-name"]), ("nosuchtype:x", ["a"]), ("hash:/nonexistent", ["a"]),
    ("inline:a=b", ["a"]), ("static:", ["x"]), ("unionmap:", ["a"]), ("pipemap:{}", ["a"]), ("randmap:{}", ["x"]),
]
