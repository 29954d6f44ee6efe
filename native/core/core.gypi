# The body of a target that compiles the core: included by the package's own library (/binding.gyp) and by the test
# build (/test/c/tests.gypi), so that the list of files and the dialect exist once. gyp moves the paths of `sources`
# and `include_dirs` (and only of such sections) along to the including file, which is why this is not a variable.
#
# A new file of the core is added here and nowhere else.
{
  'type': 'static_library',
  'include_dirs': ['.'],
  'sources': [
    'access_batch.c',
    'access_check.c',
    'alloc.c',
    'batch_copy.c',
    'device.c',
    'device_memory.c',
    'dma.c',
    'epoch.c',
    'fast_reg.c',
    'fmr.c',
    'lkey_table.c',
    'memory.c',
    'mr.c',
    'mr_sg.c',
    'pd.c',
    'platform.c',
    'pool.c',
    'reason.c',
    'region.c',
    'resource.c',
    'sge.c',
    'sge_atomic.c',
    'sge_copy.c',
    'share.c',
    'ucontext.c',
  ],
  'direct_dependent_settings': {
    'include_dirs': ['.'],
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
