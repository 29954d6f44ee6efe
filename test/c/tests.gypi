# The C tests: a separate build of the core whose allocations can be made to fail, and one executable for each test file.
# scripts/c-tests.mjs writes a gyp file for each mode. That file includes this one, sets `sanitize`, and adds a target
# for every test_*.c in this directory.
{
  'variables': {
    'sanitize%': '',  # '', 'address,undefined' or 'thread'
  },
  'target_defaults': {
    'includes': ['../../native/flags.gypi'],
    'defines': ['RVT_TEST_ALLOC=1'],
    'cflags': ['-g'],
    'conditions': [
      ['sanitize!=""', {
        'cflags': [
          '-fsanitize=<(sanitize)',
          '-fno-sanitize-recover=all',
          '-fno-omit-frame-pointer',
        ],
        'ldflags': ['-fsanitize=<(sanitize)'],
        'xcode_settings': {
          'OTHER_CFLAGS': ['-fsanitize=<(sanitize)', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
          'OTHER_LDFLAGS': ['-fsanitize=<(sanitize)'],
        },
        # -O1 keeps the stack traces of sanitizer reports readable.
        'configurations': {
          'Release': {
            'cflags!': ['-O2', '-O3'],
            'cflags': ['-O1'],
          },
        },
      }],
    ],
  },
  'targets': [
    {
      'target_name': 'rdmavt_core_tested',
      'includes': ['../../native/core/core.gypi'],
    },
    {
      'target_name': 'rdmavt_wire_tested',
      'includes': ['../../native/wire/wire.gypi'],
    },
  ],
}
