# Compiler flags of every native target, both the addon and the tests; included into `target_defaults`. Node's
# own common.gypi comes first and adds -pthread, -fPIC, -Wall -Wextra and, for C++, -fno-exceptions -fno-rtti.
{
  'variables': {
    # Warnings are errors only in CI: a new warning in a newer compiler must not break a build from source.
    'warnings_as_errors%': '<!(node -p "Number(process.env.CI===\'true\')")',
  },
  'cflags': [
    '-Wall',
    '-Wextra',
    '-Wformat=2',
    '-fvisibility=hidden',
    # Together with --gc-sections below, these drop code that the addon does not reach.
    '-ffunction-sections',
    '-fdata-sections',
  ],
  'cflags_cc': ['-std=c++17', '-fno-exceptions', '-fno-rtti'],
  'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
  'xcode_settings': {
    'MACOSX_DEPLOYMENT_TARGET': '11.0',
    'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
    'CLANG_CXX_LIBRARY': 'libc++',
    'GCC_ENABLE_CPP_EXCEPTIONS': 'NO',
    'GCC_ENABLE_CPP_RTTI': 'NO',
    'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',  # equivalent to -fvisibility=hidden
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
      # Node's default -O3 makes the checks larger but not faster: the only hot loops are copies, which memcpy
      # does.
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
