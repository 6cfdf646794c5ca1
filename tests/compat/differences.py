# SPDX-License-Identifier: ISC
"""Where Postrider answers otherwise than Postfix 3.7, and why: (pattern of "listener: question", reason)."""

EXPLAINED = [
]
