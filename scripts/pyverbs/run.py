# Runs rdma-core's tests as their own run_tests.py does, and writes how each test ended.
#
#   python3 run.py TESTS RESULTS SEED
#
# TESTS: the folder `tests` of rdma-core. RESULTS: receives a line of JSON when a test starts, and one when it ends, so that a crash
# shows which test was running. SEED: of the tests' random numbers.
import importlib.util
import json
import os
import random
import sys
import unittest

tests_folder, results_file, seed = sys.argv[1:4]
sys.argv[1:] = []
sys.path.insert(0, tests_folder)

from args_parser import parser  # noqa: E402  (a file of TESTS)


class Results(unittest.TestResult):
    """Writes each result as soon as it is known."""

    def __init__(self, stream):
        super().__init__()
        self.results = stream

    def _write(self, test, outcome, text=''):
        self.results.write(json.dumps({'name': test.id(), 'outcome': outcome, 'text': text}) + '\n')
        self.results.flush()

    def startTest(self, test):
        super().startTest(test)
        # The same numbers in each run, whichever tests ran before.
        random.seed(f'{seed} {test.id()}')
        self._write(test, 'started')

    def addSuccess(self, test):
        self._write(test, 'passed')

    def addSkip(self, test, reason):
        self._write(test, 'skipped', reason)

    def addFailure(self, test, err):
        self._write(test, 'failed', self._exc_info_to_string(err, test))

    def addError(self, test, err):
        self._write(test, 'failed', self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._write(subtest, 'failed', self._exc_info_to_string(err, test))

    def addExpectedFailure(self, test, err):
        self._write(test, 'passed')

    def addUnexpectedSuccess(self, test):
        self._write(test, 'failed', 'expected to fail, but succeeded')


parser.parse_args()
spec = importlib.util.spec_from_file_location('tests', os.path.join(tests_folder, '__init__.py'),
                                              submodule_search_locations=[tests_folder])
tests = importlib.util.module_from_spec(spec)
sys.modules['tests'] = tests
spec.loader.exec_module(tests)
with open(results_file, 'w', encoding='utf-8') as results:
    unittest.defaultTestLoader.loadTestsFromModule(tests).run(Results(results))
