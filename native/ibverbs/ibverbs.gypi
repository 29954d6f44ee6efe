# The libibverbs shim: a library for LD_PRELOAD, built by scripts/build-ibverbs.mjs, which sets `sanitize` and `version`. It is
# not a part of the package. Linux only.
#
# A new file of native/ibverbs is added here and nowhere else.
{
  'variables': {
    'sanitize%': '',  # '', 'address,undefined' or 'thread'
  },
  'target_defaults': {
    'includes': ['../flags.gypi'],
    'cflags': ['-g', '-fPIC'],
    'conditions': [
      ['sanitize!=""', {
        'cflags': [
          '-fsanitize=<(sanitize)',
          '-fno-sanitize-recover=all',
          '-fno-omit-frame-pointer',
        ],
        'ldflags': ['-fsanitize=<(sanitize)'],
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
      'target_name': 'rdmavt_core',
      'includes': ['../core/core.gypi'],
    },
    {
      'target_name': 'rdmavt_wire',
      'includes': ['../wire/wire.gypi'],
    },
    {
      'target_name': 'rdmavt-ibverbs',
      'type': 'shared_library',
      'product_prefix': 'lib',
      'dependencies': ['rdmavt_wire', 'rdmavt_core'],
      'sources': [
        'ah.c',
        'async.c',
        'channel.c',
        'context.c',
        'core_mr.c',
        'cq.c',
        'device.c',
        'dm.c',
        'event_source.c',
        'events.c',
        'fork_init.c',
        'gate.c',
        'implicit_mr.c',
        'inline_data.c',
        'kernel_structures.c',
        'memory_map.c',
        'mr.c',
        'mr_advice.c',
        'mw.c',
        'pd.c',
        'poll.c',
        'post_recv.c',
        'post_send.c',
        'qp.c',
        'qp_attr.c',
        'query.c',
        'rates.c',
        'rereg_mr.c',
        'session.c',
        'srq.c',
        'strings.c',
        'sysfs.c',
        'thread.c',
        'timer.c',
        'verbs_table.c',
        'wire.c',
        'wr_build.c',
        'wr_list.c',
      ],
      'include_dirs': ['..'],
      'defines': ['_GNU_SOURCE', 'RDMAVT_VERSION="<(version)"'],
      'cflags_c': ['-std=c11', '-Wshadow', '-Wstrict-prototypes', '-Wmissing-prototypes'],
      # -Bsymbolic-functions: the library's own calls must not go to another library's functions of the same name.
      'ldflags': ['-pthread', '-Wl,-Bsymbolic-functions', '-Wl,-z,defs'],
    },
  ],
}
