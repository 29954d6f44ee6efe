# The dialect and the include path of a target that compiles files of the core: all of them (core.gypi), or the part that
# /binding.gyp compiles for speed.
{
  'type': 'static_library',
  'include_dirs': ['..'],
  'direct_dependent_settings': {
    'include_dirs': ['..'],
  },
  # -Wshadow for C only: the headers of node-addon-api do not pass it.
  'cflags_c': ['-std=c11', '-Wshadow', '-Wstrict-prototypes', '-Wmissing-prototypes'],
  'xcode_settings': {
    'GCC_C_LANGUAGE_STANDARD': 'c11',
  },
  'msvs_settings': {
    'VCCLCompilerTool': {
      # <stdatomic.h> needs Visual Studio 2022 17.5 or later, and there still this switch.
      'AdditionalOptions': ['/std:c11', '/experimental:c11atomics'],
    },
  },
  'conditions': [
    ['OS=="win"', {
      'link_settings': { 'libraries': ['-lbcrypt'] },
    }],
  ],
}
