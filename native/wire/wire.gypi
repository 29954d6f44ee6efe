# The body of a target that compiles the RoCEv2 codec: included by the package's own library (/binding.gyp) and by the
# test build (/test/c/tests.gypi), as native/core/core.gypi is.
{
  'type': 'static_library',
  'include_dirs': ['..'],
  'sources': [
    'capture.c',
    'cm/cm.c',
    'cm/cm_receive.c',
    'cm/cm_table.c',
    'cm/cm_messages.c',
    'crc32.c',
    'endpoint/answers.c',
    'endpoint/endpoint.c',
    'endpoint/messages.c',
    'endpoint/packet_faults.c',
    'endpoint/refusals.c',
    'endpoint/requester.c',
    'endpoint/requester_queue.c',
    'endpoint/requester_receive.c',
    'endpoint/requester_send.c',
    'endpoint/responder.c',
    'endpoint/uc_receive.c',
    'endpoint/ud_receive.c',
    'endpoint/unreliable.c',
    'frame.c',
    'icrc.c',
    'rows.c',
    'transport.c',
  ],
  'direct_dependent_settings': {
    'include_dirs': ['..'],
  },
  'cflags_c': ['-std=c11', '-Wshadow', '-Wstrict-prototypes', '-Wmissing-prototypes'],
  'conditions': [
    ['OS=="linux"', {
      'sources': [
        'udp/host_address.c',
        'udp/interface.c',
        'udp/udp_socket.c',
      ],
    }],
  ],
  'xcode_settings': {
    'GCC_C_LANGUAGE_STANDARD': 'c11',
  },
  'msvs_settings': {
    'VCCLCompilerTool': {
      'AdditionalOptions': ['/std:c11', '/experimental:c11atomics'],
    },
  },
}
