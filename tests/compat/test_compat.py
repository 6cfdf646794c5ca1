# SPDX-License-Identifier: ISC
"""Postrider answers as Postfix does, but where differences.py says why not."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import compare  # noqa: E402
from peers import installed  # noqa: E402


class Compat(unittest.TestCase):
    @unittest.skipUnless(installed(), "Postfix is not installed, or this is not root")
    def test_the_same_questions_have_the_same_answers(self):
        report = compare()
        report.show()
        self.assertGreater(report.compared, 1000)
        self.assertEqual(report.unexplained, [])
        self.assertEqual(report.idle_explanations(), [])
