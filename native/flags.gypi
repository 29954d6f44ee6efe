# What every native target is compiled with, the add-on's and the tests' alike: included into `target_defaults`.
# Node's own common.gypi comes before and brings -pthread, -fPIC, -Wall -Wextra and, for C++, -fno-exceptions -fno-rtti.
{
  'variables': {
    # Warnings are errors in CI only: a newer compiler with a new warning must not keep anyone from building from source.
    'warnings_as_errors%': '<!(node -p "Number(process.env.CI===\'true\')")',
  },
  'cflags': [
    '-Wall',
    '-Wextra',
    '-Wformat=2',
    '-fvisibility=hidden',
    # With --gc-sections below: what the add-on does not reach is not in it.
    '-ffunction-sections',
    '-fdata-sections',
    '-fno-plt',
  ],
  'cflags_cc': ['-std=c++17', '-fno-exceptions', '-fno-rtti'],
  'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
  'xcode_settings': {
    'MACOSX_DEPLOYMENT_TARGET': '11.0',
    'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
    'CLANG_CXX_LIBRARY': 'libc++',
    'GCC_ENABLE_CPP_EXCEPTIONS': 'NO',
    'GCC_ENABLE_CPP_RTTI': 'NO',
    'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',  # -fvisibility=hidden
    'DEAD_CODE_STRIPPING': 'YES',
    'WARNING_CFLAGS': ['-Wall', '-Wextra', '-Wformat=2'],
  },
  'msvs_settings': {
    'VCCLCompilerTool': {
      'WarningLevel': 4,
      'ExceptionHandling': 0,
      'EnableFunctionLevelLinking': 'true',
    },
    'VCLinkerTool': {
      'OptimizeReferences': 2,
    },
  },
  'configurations': {
    'Release': {
      # Node's -O3 buys nothing here (no loops but copies, which memcpy does) and makes the checks larger.
      'cflags!': ['-O3'],
      'cflags': ['-O2'],
    },
  },
  'conditions': [
    ['OS=="linux" or OS=="freebsd"', {
      'ldflags': ['-Wl,--gc-sections'],
    }],
    ['warnings_as_errors==1', {
      'cflags': ['-Werror'],
      'xcode_settings': { 'GCC_TREAT_WARNINGS_AS_ERRORS': 'YES' },
      'msvs_settings': { 'VCCLCompilerTool': { 'WarnAsError': 'true' } },
    }],
  ],
}
