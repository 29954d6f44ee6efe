/* SPDX-License-Identifier: BSD-3-Clause */
/* Every number that C and TypeScript share: fields, rows, kinds, errnos, reasons, and the layout of shared
 * blocks. The core and the binding use these names; scripts/generate-layout.mjs writes the same numbers to
 * lib/internal/layout.ts, and a hash of them to layout_hash.h. After a change here, run `npm run layout`.
 *
 * The generator parses this file itself, without a compiler, and stops at anything it does not know. It knows
 * comments and enums whose values are numbers. A comment before each enum tells it what to write:
 * "ts: Name, PREFIX_" a TypeScript enum Name whose members lose the prefix (the first matching one, if
 * several are listed), "ts: constants" one constant per member. All other comments are copied. */
#ifndef RVT_LAYOUT_H
#define RVT_LAYOUT_H

/* --- return values --- */

/* ts: constants */
/* Linux errno values. Calls return them negated, on every platform. */
enum {
    RVT_EPERM = 1,
    RVT_EBADF = 9,
    RVT_ENOMEM = 12,
    RVT_EACCES = 13,
    RVT_EBUSY = 16,
    RVT_EXDEV = 18,
    RVT_ENODEV = 19,
    RVT_EINVAL = 22,
    RVT_EMFILE = 24,
    RVT_EOPNOTSUPP = 95,
    RVT_EADDRINUSE = 98,
    RVT_EADDRNOTAVAIL = 99,
    RVT_ETIMEDOUT = 110,
    RVT_ECONNREFUSED = 111,
};

/* ts: constants */
enum {
    /* A data-path call returns this number minus the reason if the access was refused. Other results are byte
     * counts and negative errnos. */
    RVT_REFUSED = -1000,
};

/* ts: Reason, RVT_REASON_ RVT_ */
/* Why an access was refused. The first group comes from checks, which judge keys and addresses, in this
 * order: the first test that fails gives the reason. The second group comes from the data path, when an
 * accepted SGE is used. A number never changes its meaning. */
enum rvt_reason {
    RVT_REASON_NONE = 0, /* not refused */
    /* key 0 from a user domain, or from a peer of a device without remoteKeyZero */
    RVT_KEY_ZERO_DENIED = 1,
    RVT_NO_DMA_REGION = 2, /* key 0, but no DMA region is published */
    RVT_NO_SUCH_KEY = 3,   /* the key's slot in the key table is empty */
    RVT_REVOKED = 4,       /* the key's slot is empty, and this was the last key in it */
    RVT_STALE_KEY = 5,     /* the key's slot holds a region with a different key */
    RVT_INVALIDATED = 6,   /* the key was invalidated (rvt_invalidate_rkey) */
    RVT_WRONG_PD = 7,      /* the region is in another protection domain */
    RVT_OUT_OF_BOUNDS = 8, /* the range is not inside the region (key 0: inside one DMA mapping) */
    RVT_ACCESS_DENIED = 9, /* the region does not grant the requested access */
    RVT_UNMAPPED = 10,     /* inside the bounds, but no segment or DMA mapping covers the address */

    RVT_MEMORY_DETACHED = 11,   /* the registered buffer was detached: transferred or replaced */
    RVT_MEMORY_SHRUNK = 12,     /* the registered buffer shrank and no longer holds all registered bytes */
    RVT_REMAPPED = 13,          /* the region was mapped or unmapped since the SGE was accepted */
    RVT_REGION_REVOKED = 14,    /* the region was deregistered by force, or its parent was closed */
    RVT_OTHER_ENVIRONMENT = 15, /* the bytes belong to another environment; only that one can access them */

    /* The domain or queue pair on whose behalf the access is judged is closed, or its device is. Takes
     * precedence over all other reasons. */
    RVT_CLOSED = 16,

    /* Memory windows. The first four come from checks, after RVT_INVALIDATED and RVT_WRONG_PD; LEASE_EXPIRED and
     * WINDOW_ENDED also from the data path. */
    RVT_WINDOW_UNBOUND = 17,  /* the key is that of a window that is bound to no region */
    RVT_WINDOW_LOCAL = 18,    /* the key of a window was used as lkey: windows are for peers */
    RVT_WINDOW_OTHER_QP = 19, /* the window is bound for the peer of another queue pair */
    RVT_LEASE_EXPIRED = 20,   /* the time of the lease is over */
    RVT_WINDOW_ENDED = 21,    /* the window was unbound or ended since the SGE was accepted */
    RVT_REASON_COUNT = 22,
};

/* ts: Cause, RVT_CAUSE_ */
/* Why a verb failed (struct rvt_failure). The comment after each cause says what its VALUE, LIMIT and INDEX
 * hold; "counts" are numbers of objects by kind. A number never changes its meaning. */
enum rvt_cause {
    RVT_CAUSE_NONE = 0,

    /* Causes of EBADF start here. */
    RVT_CAUSE_DEVICE_CLOSED = 1, /* the device was closed */
    RVT_CAUSE_DETACHED = 2,      /* the environment's context on the device has ended */
    RVT_CAUSE_PD_GONE = 3,       /* the protection domain was deallocated */
    RVT_CAUSE_QP_GONE = 4,       /* the queue pair was destroyed */
    RVT_CAUSE_REGION_GONE = 5,   /* the region was deregistered; index: its index in a list of regions */
    RVT_CAUSE_MAPPING_GONE = 6,  /* the DMA mapping was unmapped */
    RVT_CAUSE_MEMORY_FREED = 7,  /* the device memory was freed */
    RVT_CAUSE_ELEMENT_PUT = 8,   /* the element was already put; index: its index in a list of elements */
    /* the completion queue was destroyed; index: 1 if it is a new queue pair's for receives, else 0 */
    RVT_CAUSE_CQ_GONE = 9,
    RVT_CAUSE_SRQ_GONE = 10,    /* the shared receive queue was destroyed */
    RVT_CAUSE_WINDOW_GONE = 12, /* the memory window was deallocated; index: of the work request */
    RVT_CAUSE_AH_GONE =
        11, /* the address handle was destroyed; index: of the work request. Also for EINVAL */

    /* Causes of ENOMEM start here. */
    RVT_CAUSE_NO_MEMORY = 20,  /* out of memory */
    RVT_CAUSE_TABLE_FULL = 21, /* the key table is full; value: slots in use; limit: slots in the table */
    RVT_CAUSE_NO_RANDOM_NUMBERS = 22, /* the system cannot provide random numbers */
    RVT_CAUSE_HELD_TOO_OFTEN = 23,    /* limit: the largest number of references on a region */
    RVT_CAUSE_NOTHING_FITS = 24,      /* value: pages of the first element; limit: pages of the region */
    RVT_CAUSE_NO_DEVICE_MEMORY = 25,  /* value: bytes requested */
    /* as many objects of the kind exist as the device allows; value: their kind (enum rvt_resource_kind);
     * limit: how many are allowed */
    RVT_CAUSE_TOO_MANY_OBJECTS = 26,
    /* value: work requests in the queue; limit: the most that it holds; index: of the work request */
    RVT_CAUSE_QUEUE_FULL = 27,

    /* Causes of EBUSY start here. */
    RVT_CAUSE_PD_IN_USE = 40,      /* counts: objects in the domain */
    RVT_CAUSE_DEVICE_IN_USE = 41,  /* counts: objects on the device */
    RVT_CAUSE_CONTEXT_IN_USE = 42, /* counts: objects that the context owns */
    RVT_CAUSE_REGION_HELD = 43,    /* value: elements that hold the region, which is now half-dead */
    /* value: elements that hold regions; limit: regions held; index: of the first region held */
    RVT_CAUSE_REGIONS_HELD = 44,
    RVT_CAUSE_FMR_HELD = 45, /* value: elements that hold the FMR, which is unchanged */
    /* value: elements that hold the half-dead region; index: its index in a list. Also for EINVAL */
    RVT_CAUSE_HALF_DEAD = 46,
    /* value: key-0 elements that hold the mapping; counts: regions that map it */
    RVT_CAUSE_MAPPING_IN_USE = 47,
    /* value: uses by objects that have just ended; counts: live regions and mappings that use it */
    RVT_CAUSE_MEMORY_IN_USE = 48,
    RVT_CAUSE_BATCH_HELD = 49, /* index: of an element that still holds a reference */
    RVT_CAUSE_CQ_IN_USE = 50,  /* value: queue pairs that use the completion queue */
    RVT_CAUSE_SRQ_IN_USE = 51, /* value: queue pairs that use the shared receive queue */
    RVT_CAUSE_REREG_HELD = 52, /* value: elements that hold the region, which is not re-registered */
    /* value: windows and leases that are bound to the region, which is unchanged; index: its index in a list */
    RVT_CAUSE_WINDOWS_BOUND = 54,
    RVT_CAUSE_REREG_RUNNING = 53, /* another thread is re-registering the region */

    /* Causes of EPERM, ENODEV, EXDEV and EOPNOTSUPP start here. */
    RVT_CAUSE_USER_PD = 60,       /* the operation needs a trusted domain, not a user domain */
    RVT_CAUSE_UNKNOWN_TOKEN = 61, /* no open device in this process has the token */
    RVT_CAUSE_FOREIGN_TOKEN = 62, /* the token is from another process or another loaded copy of the core */
    RVT_CAUSE_NO_EXTERNAL_BUFFERS = 63, /* the JavaScript runtime does not support external buffers */
    /* the context was attached by a domain's token and may use only that domain */
    RVT_CAUSE_RESTRICTED = 64,
    /* the context may use only a user domain, whose regions cannot map DMA memory */
    RVT_CAUSE_RESTRICTED_DMA = 65,
    RVT_CAUSE_CQ_FLAGS = 66,  /* value: flags of the completion queue, none of which is supported */
    RVT_CAUSE_SRQ_TYPE = 67,  /* shared receive queues of other types than basic are not supported */
    RVT_CAUSE_QP_TYPE = 68,   /* value: unsupported enum rvt_qp_type */
    RVT_CAUSE_NO_ENGINE = 69, /* the device was opened without an engine */

    /* Causes of EACCES start here. */
    RVT_CAUSE_REGION_IN_OTHER_PD = 70, /* the region and the queue pair are in different domains */
    /* value: access bits that the element was accepted with; limit: access bits of which it needs one; index:
     * of the element */
    RVT_CAUSE_RIGHT_NOT_PROVEN = 71,
    RVT_CAUSE_WINDOW_IN_OTHER_PD = 73, /* the window and the queue pair are in different domains */
    RVT_CAUSE_BIND_NOT_ALLOWED = 74, /* value: the region's access bits; limit: the one that binding needs */
    /* value: access bits that need local write access; limit: the region's access bits */
    RVT_CAUSE_BIND_NEEDS_LOCAL_WRITE = 75,
    RVT_CAUSE_LEASE_RIGHTS = 76,   /* value: access bits that the region does not grant; limit: its bits */
    RVT_CAUSE_BYTES_UNUSABLE = 72, /* value: bytes moved; limit: bytes requested. Also for EINVAL */

    /* Causes of EINVAL start here. */
    RVT_CAUSE_TABLE_BITS = 100,  /* value: requested size of the key table, in bits */
    RVT_CAUSE_OBJECT_KIND = 101, /* an extension's kind of objects cannot be added; value: its number */
    /* an extension's release hook is invalid; value: the kind of objects that it watches */
    RVT_CAUSE_RELEASE_HOOK = 102,
    RVT_CAUSE_EMPTY_MEMORY = 103,      /* the memory to register or map has no bytes */
    RVT_CAUSE_START_TOO_HIGH = 104,    /* value: requested start; limit: highest start that fits */
    RVT_CAUSE_IOVA_TOO_HIGH = 105,     /* value: requested iova; limit: highest iova that fits */
    RVT_CAUSE_TOO_MANY_PAGES = 106,    /* value: pages needed; limit: pages that a region can have */
    RVT_CAUSE_ADDRESSES_USED_UP = 107, /* no free address range for a region; value: its bytes */
    RVT_CAUSE_MR_TYPE = 108,           /* value: unsupported enum rvt_mr_type */
    RVT_CAUSE_MAX_NUM_SG = 109,        /* value: requested maximum of segments; limit: the highest allowed */
    RVT_CAUSE_MAX_PAGES = 110,  /* value: requested maximum of pages, signed; limit: the highest allowed */
    RVT_CAUSE_PAGE_SHIFT = 111, /* value: requested page shift; limit: the highest allowed */
    /* value: unsuitable enum rvt_mr_kind; index: the region's index in a list */
    RVT_CAUSE_REGION_KIND = 112,
    RVT_CAUSE_LISTED_NO_REGION = 113,       /* index: of the list entry that is not a region */
    RVT_CAUSE_LISTED_IN_OTHER_PD = 114,     /* index: of the listed region that is in another domain */
    RVT_CAUSE_LISTED_ON_OTHER_DEVICE = 115, /* index: of the listed region that is on another device */
    RVT_CAUSE_REGION_ON_OTHER_DEVICE = 116, /* the region is on another device */
    RVT_CAUSE_PAGE_SIZE = 117,              /* value: requested page size; limit: the only supported one */
    RVT_CAUSE_EMPTY_LIST = 118,             /* the list has no elements */
    RVT_CAUSE_LIST_TOO_LONG = 119,          /* value: elements in the list; limit: the most allowed */
    RVT_CAUSE_OFFSET_OUTSIDE = 120,         /* value: the offset; limit: bytes of the first element */
    RVT_CAUSE_SG_ELEMENT_EMPTY = 121,       /* index: of the empty element; value: its address */
    RVT_CAUSE_SG_ELEMENT_UNMAPPED = 122,    /* index: of the element outside DMA memory; value: its address */
    /* index: of the element; value: its address; limit: bytes up to the mapping's end */
    RVT_CAUSE_SG_ELEMENT_ACROSS_END = 123,
    /* value: address of the first byte; limit: highest first address that fits */
    RVT_CAUSE_SG_END_TOO_HIGH = 124,
    /* value: the requested key; limit: the region's key, of which only the low 8 bits may change */
    RVT_CAUSE_KEY_SLOT = 125,
    RVT_CAUSE_KEY_ZERO = 126,        /* key 0 cannot be invalidated */
    RVT_CAUSE_UNKNOWN_KEY = 127,     /* value: the key, which no live region has */
    RVT_CAUSE_KEY_IN_OTHER_PD = 128, /* value: the key, whose region is in another domain */
    RVT_CAUSE_PAGE_COUNT = 129,      /* value: pages in the list; limit: pages that the region can have */
    RVT_CAUSE_MAPPED_LENGTH = 130,   /* value: bytes to map; limit: bytes that can be mapped */
    RVT_CAUSE_PAGE_UNMAPPED = 131,   /* index: of the page outside DMA memory; value: its address */
    /* index: of the page; value: its address; limit: bytes up to the mapping's end */
    RVT_CAUSE_PAGE_ACROSS_END = 132,
    RVT_CAUSE_DMA_ADDRESS_UNALIGNED = 133, /* value: the address; limit: the alignment that it needs */
    RVT_CAUSE_DMA_ADDRESS_TOO_HIGH = 134,  /* value: the address; limit: highest address that fits */
    /* value: the address; limit: address of the first mapping that overlaps */
    RVT_CAUSE_DMA_RANGE_TAKEN = 135,
    RVT_CAUSE_DMA_ADDRESSES_USED_UP = 136, /* no free range of DMA addresses; value: bytes needed */
    RVT_CAUSE_NO_BYTES = 137,              /* device memory of 0 bytes was requested */
    RVT_CAUSE_UNKNOWN_PD = 138,            /* value: serial number that no domain has */
    RVT_CAUSE_UNKNOWN_MEMORY = 139,        /* value: serial number that no device memory has */
    RVT_CAUSE_MORE_THAN_LEFT = 140,        /* value: bytes requested; limit: bytes left in all elements */
    /* value: bytes requested; limit: bytes left in the current element */
    RVT_CAUSE_MORE_THAN_ELEMENT = 141,
    RVT_CAUSE_ELEMENT_TWICE = 142, /* an element is in the list twice; index: of its second occurrence */
    RVT_CAUSE_ELEMENT_COUNT = 143, /* value: elements in the list; limit: the most allowed */
    /* value: bytes of the element; limit: bytes that an atomic operation needs */
    RVT_CAUSE_WORD_LENGTH = 144,
    RVT_CAUSE_WORD_ADDRESS = 145, /* value: the requested address; limit: the alignment that atomics need */
    /* limit: bytes of memory that must be aligned and in one piece for an atomic operation */
    RVT_CAUSE_WORD_MEMORY = 146,
    RVT_CAUSE_ELEMENT_ON_OTHER_DEVICE = 147, /* the element's region is on another device */
    RVT_CAUSE_PD_ON_OTHER_DEVICE = 149,      /* the domain is on another device */
    RVT_CAUSE_REREG_NOTHING = 150,  /* a re-registration that changes nothing, or value: unknown flags */
    RVT_CAUSE_REREG_INVALID = 151,  /* the region's key is invalid, so the region cannot be re-registered */
    RVT_CAUSE_WINDOW_BOUND = 152,   /* value: the window's key; limit: id of the region that it is bound to */
    RVT_CAUSE_WINDOW_UNBOUND = 153, /* value: the window's key, which cannot be invalidated */
    RVT_CAUSE_WINDOW_IS_LEASE = 154, /* a lease cannot be bound */
    /* value: the requested key; limit: the window's key, of which only the low 8 bits may change */
    RVT_CAUSE_WINDOW_KEY_SLOT = 155,
    RVT_CAUSE_WINDOW_ON_OTHER_DEVICE = 156, /* the window is on another device */
    /* value: the key; limit: serial number of the queue pair that the window is bound to */
    RVT_CAUSE_WINDOW_OF_OTHER_QP = 157,
    RVT_CAUSE_BIND_INVALID = 158, /* value: the region's key, which is invalid */
    RVT_CAUSE_BIND_RIGHTS = 159,  /* value: access bits for a window; limit: those that it can grant */
    RVT_CAUSE_WINDOW_TYPE =
        210, /* value: unknown enum rvt_mw_type; or 1: the key of such a window is not invalidated */
    RVT_CAUSE_BIND_EMPTY = 208,   /* the window would have no bytes */
    RVT_CAUSE_BIND_OUTSIDE = 209, /* value: address of the window; limit: its bytes; not inside the region */
    /* Causes of strict devices only. value: the iova's offset in its page; limit: the start's offset */
    RVT_CAUSE_PAGE_OFFSETS = 211,
    RVT_CAUSE_RIGHTS_NEED_LOCAL_WRITE = 212, /* value: the rights that need RVT_ACCESS_LOCAL_WRITE */
    RVT_CAUSE_UNKNOWN_RIGHTS = 213,          /* value: access bits; limit: the known ones */
    RVT_CAUSE_ARGUMENT = 148, /* the binding rejected an argument, although lib checks arguments first */

    /* Causes of EINVAL of the verbs start here. */
    RVT_CAUSE_LIMIT =
        160, /* index: enum rvt_limit; value: requested device limit; limit: the highest allowed */
    RVT_CAUSE_CQE = 161, /* value: requested completions; limit: the device's max_cqe */
    /* value: requested completions; limit: completions that the queue holds now */
    RVT_CAUSE_CQE_BELOW_HELD = 162,
    /* value: requested size of a queue or list; limit: the device's limit; index: enum rvt_capacity */
    RVT_CAUSE_CAPACITY = 163,
    RVT_CAUSE_NO_CAPACITY = 164, /* a queue pair without a shared receive queue needs a queue */
    /* value: new limit; limit: receives that the queue can then hold; index: RVT_SRQ_SET_* bits given */
    RVT_CAUSE_SRQ_LIMIT = 165,
    RVT_CAUSE_SRQ_BELOW_HELD = 166, /* value: requested receives; limit: receives that the queue holds now */
    /* value: kind of a queue that is on another device or of another context; index: as of CQ_GONE */
    RVT_CAUSE_QUEUE_ELSEWHERE = 167,
    RVT_CAUSE_QP_HAS_NO_QUEUES = 168, /* the queue pair was created for checks only */
    RVT_CAUSE_QP_HAS_SRQ = 169,       /* receives must be posted to the shared receive queue */
    RVT_CAUSE_QP_STATE = 170,         /* value: state of the queue pair, which forbids the verb */
    /* no such change of state; value: the new state; limit: the present one */
    RVT_CAUSE_QP_MOVE = 171,
    /* value: RVT_QPA_* bits that the change of state needs; limit: the new state; index: the present state */
    RVT_CAUSE_QP_NEEDS = 172,
    /* value: RVT_QPA_* bits that the change of state forbids; limit: the new state; index: the present state */
    RVT_CAUSE_QP_FORBIDS = 173,
    /* value: invalid value of an attribute; limit: the highest allowed, signed; index: its RVT_QPA_* bit (of
     * ALT_PATH: the P_Key index) */
    RVT_CAUSE_QP_ATTRIBUTE = 174,
    RVT_CAUSE_CUR_STATE = 175, /* value: the given present state; limit: the true one */
    /* The next three have as index the attribute with the path, RVT_QPA_AV or ALT_PATH; 0: address handle. */
    RVT_CAUSE_PATH_DLID = 176, /* value: destination LID; limit: the highest allowed */
    RVT_CAUSE_PATH_PORT = 177, /* value: port; limit: the only port */
    RVT_CAUSE_PATH_RATE =
        178, /* value: static rate, which is neither 0 nor 2..22; limit: the highest allowed */
    RVT_CAUSE_PATH_MIG = 179, /* value: enum rvt_mig_state that is not allowed now; limit: the new state */
    RVT_CAUSE_CQ_RING =
        180, /* a completion queue with a ring cannot be resized, nor can completions be dropped */
    /* the queue pair was created before the device's first endpoint, with a number that could be foretold */
    RVT_CAUSE_QP_NUMBER_FORESEEN = 181,
    RVT_CAUSE_ADDRESS_FAMILY =
        182, /* the peer's address is IPv4 and the endpoint's IPv6, or the other way round */
    /* value: fatal NAKs to the source address in the last minute; limit: how many it may have */
    RVT_CAUSE_TOO_MANY_REFUSALS = 183,
    RVT_CAUSE_NO_SOCKETS = 184,         /* endpoints have no sockets on this operating system */
    RVT_CAUSE_ENDPOINT_CLOSED = 185,    /* the endpoint, or its device, is closed */
    RVT_CAUSE_HOST_ADDRESS = 186,       /* the address is not the address of one host, or no address at all */
    RVT_CAUSE_KEYS_FORESEEN = 187,      /* the device's keys are sequential, so a peer could foretell them */
    RVT_CAUSE_SOCKET = 188,             /* the system refused the socket; value: its errno */
    RVT_CAUSE_QP_ON_OTHER_DEVICE = 189, /* the queue pair is on another device than the endpoint */
    /* Causes of work requests; index: of the work request in its list. */
    RVT_CAUSE_WR_SGES = 190,           /* value: elements; limit: the most that the queue takes */
    RVT_CAUSE_WR_OPCODE = 191,         /* value: the opcode; limit: type of the queue pair */
    RVT_CAUSE_WR_ATOMIC_SGE = 192,     /* value: bytes of the first element; limit: bytes that it needs */
    RVT_CAUSE_WR_ATOMIC_ADDRESS = 193, /* value: address of the first element; limit: its alignment */
    RVT_CAUSE_WR_NO_RD_ATOMIC = 194,   /* the queue pair's max_rd_atomic is 0 */
    RVT_CAUSE_WR_AH_IN_OTHER_PD = 195, /* the address handle and the queue pair are in different domains */
    /* an element was refused; value: its index; limit: enum rvt_reason */
    RVT_CAUSE_WR_SGE_REFUSED = 196,
    RVT_CAUSE_WR_LENGTH = 197, /* value: bytes of the message; limit: the most allowed */
    /* the address handle leads to another network than the queue pair's; value: 1 if it names a host, else 0 */
    RVT_CAUSE_WR_AH_UNREACHABLE = 198,
    /* strict devices only: value: bytes of inline data; limit: the most allowed, 0: none with this opcode */
    RVT_CAUSE_WR_INLINE = 214,
    /* Causes of the connection manager. */
    RVT_CAUSE_CONNECTION_GONE = 200,  /* the request or the connection is over */
    RVT_CAUSE_CONNECTION_STATE = 201, /* the request was answered before */
    RVT_CAUSE_SERVICE_IN_USE = 202,   /* another listener of the endpoint has the service */
    /* the queue pair has a connection, or had one for which late packets may come */
    RVT_CAUSE_QP_CONNECTED = 203,
    RVT_CAUSE_TOO_MANY_CONNECTIONS = 204, /* limit: how many connections or listeners an endpoint can have */
    RVT_CAUSE_PRIVATE_DATA = 205, /* value: bytes of private data; limit: the most that the message has */
    RVT_CAUSE_CONNECTION_REJECTED = 206, /* value: enum rvt_cm_reject or another reason of the peer */
    RVT_CAUSE_CONNECTION_TIMEOUT = 207,  /* the peer did not answer */
};

/* ts: FailureNumber, RVT_FAILURE_ */
/* The record of a thread's last failure (struct rvt_failure), by index. */
enum rvt_failure_number {
    RVT_FAILURE_ERROR = 0, /* the errno, positive; 0: no failure is recorded */
    RVT_FAILURE_CAUSE = 1, /* enum rvt_cause; determines the meaning of the following numbers */
    RVT_FAILURE_VALUE = 2,
    RVT_FAILURE_LIMIT = 3,
    RVT_FAILURE_INDEX = 4,
    RVT_FAILURE_COUNTS = 5,   /* one count per kind of objects, indexed by the kind's number */
    RVT_FAILURE_NUMBERS = 21, /* size of the record, with room for the maximum number of kinds */
};

/* --- arguments --- */

/* ts: AccessBit, RVT_ACCESS_ */
/* Access bits, with the values of the verbs' IB_ACCESS_*. */
enum {
    RVT_ACCESS_LOCAL_WRITE = 1,
    RVT_ACCESS_REMOTE_WRITE = 2,
    RVT_ACCESS_REMOTE_READ = 4,
    RVT_ACCESS_REMOTE_ATOMIC = 8,
    RVT_ACCESS_MW_BIND = 16,
    RVT_ACCESS_OPTIONAL = 0x3ff00000, /* bits that a NIC may ignore (IB_ACCESS_OPTIONAL) */
};

/* ts: RegionKind, RVT_MR_ */
enum rvt_mr_kind {
    RVT_MR_USER = 0,
    RVT_MR_DMA = 1,
    RVT_MR_MEM_REG = 2,
    RVT_MR_FMR = 3,
};

/* ts: MrTypeNumber, RVT_MR_TYPE_ */
/* Types that rvt_alloc_mr() can be called with (enum ib_mr_type). Only RVT_MR_TYPE_MEM_REG is supported. */
enum rvt_mr_type {
    RVT_MR_TYPE_MEM_REG = 0,
    RVT_MR_TYPE_SG_GAPS = 1,
    RVT_MR_TYPE_DM = 2,
    RVT_MR_TYPE_USER = 3,
    RVT_MR_TYPE_DMA = 4,
    RVT_MR_TYPE_INTEGRITY = 5,
};

/* ts: ReleaseMode, RVT_RELEASE_ RVT_ */
/* How rvt_dereg_mr(), rvt_dealloc_fmr() and rvt_dereg_mrs() end a region. */
enum rvt_release_mode {
    RVT_RELEASE = 0,       /* the verbs' behavior: -EBUSY while the region is held; may be called again */
    RVT_RELEASE_AWAIT = 1, /* as RVT_RELEASE; while the region is held, each put wakes its context */
    RVT_RELEASE_FORCE = 2, /* end the region now; held SGEs fail with RegionRevoked. Always returns 0 */
};

/* ts: WindowType, RVT_MW_TYPE_ */
/* Types of memory windows, as in enum ib_mw_type. Type 1 is for hosts in C: JavaScript has windows of type 2. */
enum rvt_mw_type {
    RVT_MW_TYPE_ONE =
        1, /* for all queue pairs of its domain; bound over and over; unbound by binding no bytes */
    RVT_MW_TYPE_TWO = 2, /* 2B: for the queue pair that has bound it; unbound by invalidation */
};

/* ts: ReregFlag, RVT_REREG_ */
/* What rvt_rereg_mr() changes, with the values of the verbs' IBV_REREG_MR_*. */
enum rvt_rereg_flag {
    RVT_REREG_TRANSLATION = 1, /* the memory and its addresses */
    RVT_REREG_PD = 2,          /* the domain */
    RVT_REREG_ACCESS = 4,      /* the access bits */
};

/* ts: constants */
enum {
    /* The page size of DMA memory and of rvt_map_mr_sg(), in bytes, and its log2. */
    RVT_PAGE_SIZE = 4096,
    RVT_PAGE_SHIFT = 12,
    /* The kernel's rdmavt, and so the trace format, addresses a segment by two numbers: m * RVT_SEGSZ + n. */
    RVT_SEGSZ = 256,
    /* The bits of a key that the consumer may change in rvt_fast_reg_mr(). */
    RVT_KEY_VARIANT_MASK = 0xff,
    /* The maximum number of elements in a walk. */
    RVT_MAX_SGE = 255,
    /* The maximum number of elements in a scatter-gather list. */
    RVT_MAX_SG_ELEMENTS = 0x7fffffff,
    /* A device token in bytes: the id of this loaded copy of the core, followed by random bytes. */
    RVT_CORE_ID_BYTES = 8,
    RVT_TOKEN_BYTES = 16,
};

/* --- the verbs: values of the kernel's enums --- */

/* ts: QpType, RVT_QPT_ */
/* Types of queue pairs, as in enum ib_qp_type. CHECK is this package's own: a queue pair that only judges
 * remote accesses and has no queues. */
enum rvt_qp_type {
    RVT_QPT_CHECK = 0,
    RVT_QPT_RC = 2,
    RVT_QPT_UC = 3,
    RVT_QPT_UD = 4,
    RVT_QPT_RAW_PACKET = 8,
    RVT_QPT_XRC_INI = 9,
};

/* ts: QpState, RVT_QPS_ */
/* States of queue pairs, as in enum ib_qp_state. No move leads to SQE. */
enum rvt_qp_state {
    RVT_QPS_RESET = 0,
    RVT_QPS_INIT = 1,
    RVT_QPS_RTR = 2,
    RVT_QPS_RTS = 3,
    RVT_QPS_SQD = 4,
    RVT_QPS_SQE = 5,
    RVT_QPS_ERR = 6,
};

/* ts: MigrationState, RVT_MIG_ */
/* Path migration states, as in enum ib_mig_state. */
enum rvt_mig_state {
    RVT_MIG_MIGRATED = 0,
    RVT_MIG_REARM = 1,
    RVT_MIG_ARMED = 2,
};

/* ts: SignalType, RVT_SIGNAL_ */
/* Which send work requests complete with an entry: every one, or those that ask for it. */
enum rvt_sig_type {
    RVT_SIGNAL_ALL_WR = 0,
    RVT_SIGNAL_REQ_WR = 1,
};

/* ts: QpAttribute, RVT_QPA_ */
/* Attributes of rvt_modify_qp(), as bits of its mask, with the values of enum ib_qp_attr_mask. */
enum {
    RVT_QPA_STATE = 1,
    RVT_QPA_CUR_STATE = 2,
    RVT_QPA_EN_SQD_ASYNC_NOTIFY = 4,
    RVT_QPA_ACCESS_FLAGS = 8,
    RVT_QPA_PKEY_INDEX = 16,
    RVT_QPA_PORT = 32,
    RVT_QPA_QKEY = 64,
    RVT_QPA_AV = 128,
    RVT_QPA_PATH_MTU = 256,
    RVT_QPA_TIMEOUT = 512,
    RVT_QPA_RETRY_CNT = 1024,
    RVT_QPA_RNR_RETRY = 2048,
    RVT_QPA_RQ_PSN = 4096,
    RVT_QPA_MAX_RD_ATOMIC = 8192,
    RVT_QPA_ALT_PATH = 16384,
    RVT_QPA_MIN_RNR_TIMER = 32768,
    RVT_QPA_SQ_PSN = 65536,
    RVT_QPA_MAX_DEST_RD_ATOMIC = 131072,
    RVT_QPA_PATH_MIG_STATE = 262144,
    RVT_QPA_CAP = 524288,
    RVT_QPA_DEST_QPN = 1048576,
};

/* ts: WrOpcode, RVT_WR_ */
/* Opcodes of send work requests, as in enum ib_wr_opcode. */
enum rvt_wr_opcode {
    RVT_WR_RDMA_WRITE = 0,
    RVT_WR_RDMA_WRITE_WITH_IMM = 1,
    RVT_WR_SEND = 2,
    RVT_WR_SEND_WITH_IMM = 3,
    RVT_WR_RDMA_READ = 4,
    RVT_WR_ATOMIC_CMP_AND_SWP = 5,
    RVT_WR_ATOMIC_FETCH_AND_ADD = 6,
    RVT_WR_LOCAL_INV = 7,
    RVT_WR_BIND_MW = 8,
    RVT_WR_SEND_WITH_INV = 9,
    RVT_WR_LSO = 10,
    RVT_WR_RDMA_READ_WITH_INV = 11,
    RVT_WR_MASKED_ATOMIC_CMP_AND_SWP = 12,
    RVT_WR_MASKED_ATOMIC_FETCH_AND_ADD = 13,
    RVT_WR_REG_MR = 32,
    RVT_WR_REG_MR_INTEGRITY = 33,
};

/* ts: SendFlag, RVT_SEND_ */
/* Flags of send work requests, as in enum ib_send_flags. INLINE has no effect. */
enum {
    RVT_SEND_FENCE = 1,
    RVT_SEND_SIGNALED = 2,
    RVT_SEND_SOLICITED = 4,
    RVT_SEND_INLINE = 8,
};

/* ts: WcStatus, RVT_WC_STATUS_ */
/* Statuses of completions, as in enum ib_wc_status. */
enum rvt_wc_status {
    RVT_WC_STATUS_SUCCESS = 0,
    RVT_WC_STATUS_LOC_LEN_ERR = 1,
    RVT_WC_STATUS_LOC_QP_OP_ERR = 2,
    RVT_WC_STATUS_LOC_PROT_ERR = 4,
    RVT_WC_STATUS_WR_FLUSH_ERR = 5,
    RVT_WC_STATUS_MW_BIND_ERR = 6,
    RVT_WC_STATUS_BAD_RESP_ERR = 7,
    RVT_WC_STATUS_REM_INV_REQ_ERR = 9,
    RVT_WC_STATUS_REM_ACCESS_ERR = 10,
    RVT_WC_STATUS_REM_OP_ERR = 11,
    RVT_WC_STATUS_RETRY_EXC_ERR = 12,
    RVT_WC_STATUS_RNR_RETRY_EXC_ERR = 13,
    RVT_WC_STATUS_COUNT = 14,
};

/* ts: WcOpcode, RVT_WC_OPCODE_ */
/* Opcodes of completions, as in enum ib_wc_opcode. */
enum rvt_wc_opcode {
    RVT_WC_OPCODE_SEND = 0,
    RVT_WC_OPCODE_RDMA_WRITE = 1,
    RVT_WC_OPCODE_RDMA_READ = 2,
    RVT_WC_OPCODE_COMP_SWAP = 3,
    RVT_WC_OPCODE_FETCH_ADD = 4,
    RVT_WC_OPCODE_BIND_MW = 5,
    RVT_WC_OPCODE_LOCAL_INV = 6,
    RVT_WC_OPCODE_REG_MR = 8,
    RVT_WC_OPCODE_RECV = 128,
    RVT_WC_OPCODE_RECV_RDMA_WITH_IMM = 129,
};

/* ts: WcFlag, RVT_WC_WITH_ */
/* Flags of completions, as in enum ib_wc_flags. */
enum {
    RVT_WC_WITH_GRH = 1, /* the first 40 bytes of the receive hold the header of the network */
    RVT_WC_WITH_IMM = 2,
    RVT_WC_WITH_INVALIDATE = 4,
};

/* ts: WcCause, RVT_WHY_ */
/* Why a completion failed: what the status hides. A completion that succeeded has NONE, except one of a UC
 * queue pair whose request failed at the peer. */
enum rvt_wc_cause {
    RVT_WHY_NONE = 0,
    RVT_WHY_FLUSHED = 1,             /* the queue pair was in error before the work request was carried out */
    RVT_WHY_NO_PEER = 2,             /* no queue pair has the destination's number, or it is in RESET */
    RVT_WHY_PEER_STATE = 3,          /* the peer is in a state that accepts no requests */
    RVT_WHY_PEER_TYPE = 4,           /* the peer is of another type */
    RVT_WHY_QP_ACCESS = 5,           /* the peer's access flags do not allow the operation */
    RVT_WHY_RECEIVE_TOO_SHORT = 6,   /* the message does not fit into the receive */
    RVT_WHY_ATOMIC_ADDRESS = 7,      /* the remote address of an atomic operation is not a multiple of 8 */
    RVT_WHY_NO_RECEIVE = 8,          /* the peer had no receive */
    RVT_WHY_RECEIVE_REFUSED = 9,     /* an element of the receive was refused; has a reason */
    RVT_WHY_REMOTE_REFUSED = 10,     /* the remote access was refused; has a reason */
    RVT_WHY_LOCAL_REFUSED = 11,      /* the request's own bytes could not be used; has a reason */
    RVT_WHY_REGION_RELEASED = 12,    /* a region of a queued work request was deregistered */
    RVT_WHY_CQ_FULL = 13,            /* a completion found its completion queue full */
    RVT_WHY_INVALIDATE_REFUSED = 14, /* a delayed LOCAL_INV named a key that it could not invalidate */
    RVT_WHY_BROKEN_OFF = 15,         /* the sender was stopped in the middle of the message */
    RVT_WHY_NAK = 16,                /* the peer on the wire refused it; value: the syndrome of its NAK */
    RVT_WHY_NO_ANSWER = 17,          /* the peer on the wire did not answer, however often it was sent */
    RVT_WHY_BAD_PACKET = 18,         /* packets of the peer on the wire break the rules of the transport */
    RVT_WHY_ENDPOINT_CLOSED = 19,    /* the endpoint that the queue pair was connected through was closed */
    /* the device was opened with faults, and this is one; value: enum rvt_fault_kind */
    RVT_WHY_INJECTED = 20,
    RVT_WHY_BIND_REFUSED = 21, /* a delayed BIND_MW could not bind its window */
    RVT_WHY_COUNT = 22,
};

/* ts: FaultKind, RVT_FAULT_ */
/* Faults that a device makes on purpose, by kind. */
enum rvt_fault_kind {
    RVT_FAULT_REFUSE = 0,    /* an access that was accepted is refused */
    RVT_FAULT_RNR = 1,       /* a message finds no receive */
    RVT_FAULT_FLUSH = 2,     /* the queue pair goes into error instead of carrying out a work request */
    RVT_FAULT_OVERFLOW = 3,  /* a completion finds its completion queue full */
    RVT_FAULT_SLOW = 4,      /* a completion becomes visible later */
    RVT_FAULT_LOST = 5,      /* a packet is lost */
    RVT_FAULT_LATE = 6,      /* a packet is held back for a time */
    RVT_FAULT_DOUBLED = 7,   /* a packet comes twice */
    RVT_FAULT_REORDERED = 8, /* a packet comes behind the next one */
    RVT_FAULT_KINDS = 9,
};

/* ts: FaultDirection, RVT_FAULT_TO_ */
/* Of which packets faults are made: bits of struct rvt_fault_rule.directions. */
enum rvt_fault_direction {
    RVT_FAULT_TO_OUT = 1, /* those that an endpoint of the device sends */
    RVT_FAULT_TO_IN = 2,  /* those that an endpoint of the device receives */
};

/* ts: FaultCount, RVT_FAULT_COUNT_ */
/* What a device's faults have done (struct rvt_fault_counts), as an array of 64-bit numbers. */
enum rvt_fault_count {
    RVT_FAULT_COUNT_SEED = 0,
    RVT_FAULT_COUNT_SEEN = 1,  /* occasions, by enum rvt_fault_kind */
    RVT_FAULT_COUNT_MADE = 10, /* of them got a fault, by enum rvt_fault_kind */
    RVT_FAULT_COUNT_COUNT = 19,
};

/* ts: FaultWord, RVT_FAULT_WORD_ */
/* One rule of a device's faults, as an array of doubles (struct rvt_fault_rule). */
enum rvt_fault_word {
    RVT_FAULT_WORD_PROBABILITY = 0,
    RVT_FAULT_WORD_AT = 1,
    RVT_FAULT_WORD_EVERY = 2,
    RVT_FAULT_WORD_VALUE = 3,
    RVT_FAULT_WORD_DIRECTIONS = 4,
    RVT_FAULT_WORD_COUNT = 5,
};

/* ts: Limit, RVT_LIMIT_ */
/* Limits of a device, by index (struct rvt_limits). */
enum rvt_limit {
    RVT_LIMIT_MAX_QP = 0,
    RVT_LIMIT_MAX_QP_WR = 1,
    RVT_LIMIT_MAX_SEND_SGE = 2,
    RVT_LIMIT_MAX_RECV_SGE = 3,
    RVT_LIMIT_MAX_CQ = 4,
    RVT_LIMIT_MAX_CQE = 5,
    RVT_LIMIT_MAX_SRQ = 6,
    RVT_LIMIT_MAX_SRQ_WR = 7,
    RVT_LIMIT_MAX_SRQ_SGE = 8,
    RVT_LIMIT_MAX_PD = 9,
    RVT_LIMIT_MAX_RDMA_ATOMIC = 10,
    RVT_LIMIT_NPKEYS = 11,
    RVT_LIMIT_MAX_AH = 12,
    RVT_LIMIT_COUNT = 13,
};

/* ts: Capacity, RVT_CAPACITY_ */
/* Sizes of a queue, by index. */
enum rvt_capacity {
    RVT_CAPACITY_SEND_WR = 0,
    RVT_CAPACITY_RECV_WR = 1,
    RVT_CAPACITY_SEND_SGE = 2,
    RVT_CAPACITY_RECV_SGE = 3,
    RVT_CAPACITY_SRQ_WR = 4,
    RVT_CAPACITY_SRQ_SGE = 5,
};

/* ts: NotifyFlag, RVT_NOTIFY_ */
/* Flags of rvt_req_notify_cq(), as in enum ib_cq_notify_flags. */
enum {
    RVT_NOTIFY_SOLICITED = 1,
    RVT_NOTIFY_NEXT = 2,
    RVT_NOTIFY_REPORT_MISSED = 4,
};

/* ts: VerbsEvent, RVT_EVENT_ */
/* Events of the engine, reported to the host. */
enum rvt_event_kind {
    RVT_EVENT_COMPLETION = 0, /* an armed completion queue got an entry that it was armed for */
    RVT_EVENT_CQ_ERR = 1,     /* a completion found its completion queue full or broken, and is lost */
    RVT_EVENT_LAST_WQE = 2,   /* a queue pair with a shared receive queue went into error */
    RVT_EVENT_SRQ_LIMIT = 3,  /* a shared receive queue fell below its limit */
    RVT_EVENT_TIMER =
        4, /* an RNR timer of the queue pair, or the time of a late completion of the completion queue, began: call rvt_progress() */
    /* An endpoint has something to tell: refusals, or that it was closed. Reported by the host, not by the engine. */
    RVT_EVENT_ENDPOINT = 5,
};

/* --- verbs: arrays of 32-bit words, by index; 64-bit numbers take two words, the low one first --- */

/* ts: SendWrWord, RVT_SEND_WR_ */
/* A send work request; NUM_SGE elements of RVT_SGE_WORDS words follow. */
enum rvt_send_wr_word {
    RVT_SEND_WR_ID = 0,
    RVT_SEND_WR_OPCODE = 2,
    RVT_SEND_WR_FLAGS = 3,
    RVT_SEND_WR_NUM_SGE = 4,
    RVT_SEND_WR_IMM = 5,
    RVT_SEND_WR_REMOTE_ADDR = 6,
    RVT_SEND_WR_RKEY = 8,
    RVT_SEND_WR_INVALIDATE_RKEY = 9,
    RVT_SEND_WR_COMPARE_ADD = 10,
    RVT_SEND_WR_SWAP = 12,
    RVT_SEND_WR_REGION = 14, /* REG_MR: the region's name (enum rvt_region_name_word) */
    RVT_SEND_WR_KEY = 18,
    RVT_SEND_WR_ACCESS = 19,
    RVT_SEND_WR_AH = 20, /* UD: index in the list of address handles */
    RVT_SEND_WR_REMOTE_QPN = 21,
    RVT_SEND_WR_REMOTE_QKEY = 22,
    RVT_SEND_WR_RESERVED = 23,
    RVT_SEND_WR_WORDS = 24,
};

/* ts: BindWrWord, RVT_BIND_WR_ */
/* The words of a BIND_MW that have another meaning than in other send work requests, or a longer name. REGION, KEY
 * and ACCESS name the region, the window's new key and its rights. */
enum rvt_bind_wr_word {
    RVT_BIND_WR_ADDR = 6,        /* remote address of the window's first byte, 64 bits */
    RVT_BIND_WR_WINDOW = 8,      /* the window: index in its pool */
    RVT_BIND_WR_CHECKER = 9,     /* the window: number of its domain; 0: the work request has none */
    RVT_BIND_WR_LENGTH = 10,     /* bytes of the window, 64 bits */
    RVT_BIND_WR_GENERATION = 12, /* the window: generation of that place, 64 bits */
};

/* ts: RecvWrWord, RVT_RECV_WR_ */
/* A receive work request; NUM_SGE elements follow. */
enum rvt_recv_wr_word {
    RVT_RECV_WR_ID = 0,
    RVT_RECV_WR_NUM_SGE = 2,
    RVT_RECV_WR_RESERVED = 3,
    RVT_RECV_WR_WORDS = 4,
};

/* ts: SgeWord, RVT_SGE_ */
enum rvt_sge_word {
    RVT_SGE_ADDR = 0,
    RVT_SGE_LENGTH = 2,
    RVT_SGE_LKEY = 3,
    RVT_SGE_WORDS = 4,
};

/* ts: constants */
enum {
    /* The most work requests in a packed queue (SendQueue, RecvQueue). */
    RVT_MAX_SLOTS = 0x100000,
    /* The opcode of a slot that was never filled. */
    RVT_WR_UNFILLED = 0xff,
};

/* ts: WrHeaderWord, RVT_WR_HEADER_ */
/* The words at the start of a block of work requests. A call reads the first ones and writes the others. */
enum rvt_wr_header_word {
    RVT_WR_HEADER_COUNT = 0,  /* in: number of work requests */
    RVT_WR_HEADER_FIRST = 1,  /* in: slot of the first one */
    RVT_WR_HEADER_POSTED = 2, /* out: how many were posted */
    RVT_WR_HEADER_BAD = 3,    /* out: index of the refused one; as the native call `postSend` stores it */
    RVT_WR_HEADER_STATUS = 4, /* out: 0, or a negative errno */
    /* in, for work requests that follow one another without slots: number of the queue pair's checker */
    RVT_WR_HEADER_QP = 5,
    RVT_WR_HEADER_WORDS = 16,
};

/* ts: WcWord, RVT_WC_WORD_ */
/* A completion (struct rvt_wc). */
enum rvt_wc_word {
    RVT_WC_WORD_WR_ID = 0,
    RVT_WC_WORD_QP = 2, /* serial number of the queue pair */
    RVT_WC_WORD_QP_NUM = 4,
    RVT_WC_WORD_SRC_QP = 5,
    RVT_WC_WORD_STATUS = 6, /* enum rvt_wc_status */
    RVT_WC_WORD_OPCODE = 7, /* enum rvt_wc_opcode */
    RVT_WC_WORD_BYTE_LEN = 8,
    RVT_WC_WORD_FLAGS = 9,
    RVT_WC_WORD_IMM_OR_INV = 10,
    RVT_WC_WORD_PATH = 11,  /* slid in the low 16 bits, sl in the next 8, port above */
    RVT_WC_WORD_CAUSE = 12, /* enum rvt_wc_cause */
    RVT_WC_WORD_CAUSE_VALUE = 13,
    RVT_WC_WORD_REFUSED_JUDGE = 14, /* struct rvt_refused_access */
    RVT_WC_WORD_REFUSED_ADDR = 16,
    RVT_WC_WORD_REFUSED_LENGTH = 18,
    RVT_WC_WORD_REFUSED_KEY = 19,
    RVT_WC_WORD_REFUSED_ACCESS = 20,
    RVT_WC_WORD_REFUSED_REASON = 21,
    RVT_WC_WORD_COUNT = 22,
};

/* ts: RingWord, RVT_RING_ */
/* The ring of a completion queue: the shared memory in which its completions are. The core writes HEAD and
 * ENDED, the consumer writes TAIL. Both count modulo 2^32 and start at 0. The first completion is in the first
 * place; after the last place comes the first one again. */
enum rvt_ring_word {
    RVT_RING_HEAD = 0,  /* completions that were entered */
    RVT_RING_ENDED = 1, /* 1: the queue was destroyed. Only a hint: ask the queue */
    /* completions that were taken; alone in its cache line */
    RVT_RING_TAIL = 16,
    RVT_RING_ENTRIES = 32, /* RVT_WC_WORD_COUNT words for each completion */
};

/* ts: QpInitWord, RVT_QP_INIT_ */
/* Attributes of a new queue pair (struct rvt_qp_init). */
enum rvt_qp_init_word {
    RVT_QP_INIT_TYPE = 0,     /* enum rvt_qp_type */
    RVT_QP_INIT_SIG_TYPE = 1, /* enum rvt_sig_type */
    RVT_QP_INIT_MAX_SEND_WR = 2,
    RVT_QP_INIT_MAX_RECV_WR = 3,
    RVT_QP_INIT_MAX_SEND_SGE = 4,
    RVT_QP_INIT_MAX_RECV_SGE = 5,
    RVT_QP_INIT_WORDS = 6,
};

/* ts: QpAttrWord, RVT_QP_ATTR_ */
/* Attributes of a queue pair (struct rvt_qp_attr, then what only rvt_query_qp() reports). */
enum rvt_qp_attr_word {
    RVT_QP_ATTR_STATE = 0,
    RVT_QP_ATTR_CUR_STATE = 1,
    RVT_QP_ATTR_ACCESS = 2,
    RVT_QP_ATTR_QKEY = 3,
    RVT_QP_ATTR_DEST_QPN = 4,
    RVT_QP_ATTR_SQ_PSN = 5,
    RVT_QP_ATTR_RQ_PSN = 6,
    RVT_QP_ATTR_PKEY_INDEX = 7,
    RVT_QP_ATTR_PORT = 8,
    RVT_QP_ATTR_PATH_MTU = 9,
    RVT_QP_ATTR_PATH_MIG_STATE = 10,
    RVT_QP_ATTR_TIMEOUT = 11,
    RVT_QP_ATTR_RETRY_CNT = 12,
    RVT_QP_ATTR_RNR_RETRY = 13,
    RVT_QP_ATTR_MIN_RNR_TIMER = 14,
    RVT_QP_ATTR_MAX_RD_ATOMIC = 15,
    RVT_QP_ATTR_MAX_DEST_RD_ATOMIC = 16,
    RVT_QP_ATTR_AV = 17,     /* dlid, sl, static rate, port: a word each */
    RVT_QP_ATTR_ALT_AV = 21, /* the same */
    RVT_QP_ATTR_ALT_PKEY_INDEX = 25,
    RVT_QP_ATTR_SET_WORDS = 26, /* words that rvt_modify_qp() reads */
    RVT_QP_ATTR_QPN = 26,
    RVT_QP_ATTR_TYPE = 27,
    RVT_QP_ATTR_SIG_TYPE = 28,
    RVT_QP_ATTR_MAX_SEND_WR = 29,
    RVT_QP_ATTR_MAX_RECV_WR = 30,
    RVT_QP_ATTR_MAX_SEND_SGE = 31,
    RVT_QP_ATTR_MAX_RECV_SGE = 32,
    RVT_QP_ATTR_SENDS = 33,
    RVT_QP_ATTR_RECEIVES = 34,
    RVT_QP_ATTR_SQ_DRAINING = 35,
    RVT_QP_ATTR_WORDS = 36,
};

/* ts: AvWord, RVT_AV_ */
/* The address of a path (struct rvt_ah_attr). */
enum rvt_av_word {
    RVT_AV_DLID = 0,
    RVT_AV_SL = 1,
    RVT_AV_STATIC_RATE = 2,
    RVT_AV_PORT = 3,
    RVT_AV_WORDS = 4,
};

/* ts: EndpointFlag, RVT_ENDPOINT_FLAG_ */
/* How the binding opens an endpoint. */
enum rvt_endpoint_flag {
    RVT_ENDPOINT_FLAG_ANY_KEYS = 1,  /* although the device's keys can be foretold */
    RVT_ENDPOINT_FLAG_MEMORY = 2,    /* without a socket: packets come from and go to JavaScript, for tests */
    RVT_ENDPOINT_FLAG_BY_THREAD = 4, /* wait for packets in a thread, not in libuv's event loop */
};

/* ts: WireRefusalWord, RVT_WIRE_REFUSAL_ */
/* A request that an endpoint refused (struct rvt_wire_refusal); the peer's address is told as text. */
enum rvt_wire_refusal_word {
    RVT_WIRE_REFUSAL_PORT = 0,
    RVT_WIRE_REFUSAL_QP = 1, /* 2 words */
    RVT_WIRE_REFUSAL_QPN = 3,
    RVT_WIRE_REFUSAL_OPCODE = 4,
    RVT_WIRE_REFUSAL_PSN = 5,
    RVT_WIRE_REFUSAL_SYNDROME = 6,
    RVT_WIRE_REFUSAL_CAUSE = 7,
    RVT_WIRE_REFUSAL_VALUE = 8,
    RVT_WIRE_REFUSAL_ADDR = 9, /* 2 words */
    RVT_WIRE_REFUSAL_LENGTH = 11,
    RVT_WIRE_REFUSAL_KEY = 12,
    RVT_WIRE_REFUSAL_ACCESS = 13,
    RVT_WIRE_REFUSAL_REASON = 14,
    RVT_WIRE_REFUSAL_WORDS = 15,
};

/* ts: EndpointCounter, RVT_ENDPOINT_COUNTER_ */
/* Counters of an endpoint: those of struct rvt_endpoint_counters, then those of its socket. */
enum rvt_endpoint_counter {
    RVT_ENDPOINT_COUNTER_RECEIVED = 0,
    RVT_ENDPOINT_COUNTER_SENT = 1,
    RVT_ENDPOINT_COUNTER_BYTES_RECEIVED = 2,
    RVT_ENDPOINT_COUNTER_BYTES_SENT = 3,
    RVT_ENDPOINT_COUNTER_MALFORMED = 4,
    RVT_ENDPOINT_COUNTER_BAD_ICRC = 5,
    RVT_ENDPOINT_COUNTER_UNKNOWN_QP = 6,
    RVT_ENDPOINT_COUNTER_WRONG_SOURCE = 7,
    RVT_ENDPOINT_COUNTER_CONGESTION = 8,
    RVT_ENDPOINT_COUNTER_DUPLICATES = 9,
    RVT_ENDPOINT_COUNTER_OUT_OF_ORDER = 10,
    RVT_ENDPOINT_COUNTER_RNR_NAKS = 11,
    RVT_ENDPOINT_COUNTER_SEQUENCE_NAKS = 12,
    RVT_ENDPOINT_COUNTER_FATAL_NAKS = 13,
    RVT_ENDPOINT_COUNTER_RETRANSMITTED = 14,
    RVT_ENDPOINT_COUNTER_TIMEOUTS = 15,
    RVT_ENDPOINT_COUNTER_LIMITED = 16,
    RVT_ENDPOINT_COUNTER_WRONG_QKEY = 17,
    RVT_ENDPOINT_COUNTER_NO_RECEIVE = 18,
    RVT_ENDPOINT_COUNTER_SHORT_RECEIVES = 19,
    RVT_ENDPOINT_COUNTER_REFUSED_WRITES = 20,
    RVT_ENDPOINT_COUNTER_INCOMPLETE = 21,
    RVT_ENDPOINT_COUNTER_TOO_LONG = 22,   /* packets that the network interface cannot carry */
    RVT_ENDPOINT_COUNTER_UNSENT = 23,     /* packets that the system refused for another reason */
    RVT_ENDPOINT_COUNTER_UNREPORTED = 24, /* refusals that were not reported, because too many waited */
    RVT_ENDPOINT_COUNTER_COUNT = 25,
};

/* ts: CmEventKind, RVT_CM_EVENT_ */
/* What the connection manager of an endpoint tells its host. */
enum rvt_cm_event_kind {
    RVT_CM_EVENT_NONE = 0,
    RVT_CM_EVENT_REQUEST = 1,      /* a peer asks a listener for a connection: accept or reject it */
    RVT_CM_EVENT_REPLY = 2,        /* the peer has accepted: bring the queue pair to RTS, and confirm */
    RVT_CM_EVENT_ESTABLISHED = 3,  /* the peer has confirmed what was accepted here */
    RVT_CM_EVENT_REJECTED = 4,     /* the peer has rejected; the connection is over */
    RVT_CM_EVENT_TIMEOUT = 5,      /* the peer has not answered; the connection is over */
    RVT_CM_EVENT_DISCONNECT = 6,   /* the peer disconnects: stop the queue pair, and answer */
    RVT_CM_EVENT_DISCONNECTED = 7, /* this end has disconnected, and the peer has answered or is silent */
};

/* ts: CmEventWord, RVT_CM_EVENT_WORD_ */
/* An event of the connection manager (struct rvt_cm_event); the peer's address is told as text, private data as bytes. */
enum rvt_cm_event_word {
    RVT_CM_EVENT_WORD_KIND = 0, /* enum rvt_cm_event_kind */
    RVT_CM_EVENT_WORD_ID = 1,   /* of the connection */
    RVT_CM_EVENT_WORD_LISTENER = 2,
    RVT_CM_EVENT_WORD_PORT = 3, /* UDP port of the peer */
    /* REJECTED: enum rvt_cm_reject */
    RVT_CM_EVENT_WORD_REASON = 4,
    RVT_CM_EVENT_WORD_SERVICE = 5, /* 2 words */
    RVT_CM_EVENT_WORD_SOURCE_PORT = 7,
    /* REQUEST and REPLY: what the peer's queue pair has and offers (struct rvt_cm_offer) */
    RVT_CM_EVENT_WORD_QPN = 8,
    RVT_CM_EVENT_WORD_PSN = 9,
    RVT_CM_EVENT_WORD_RESPONDER_RESOURCES = 10,
    RVT_CM_EVENT_WORD_INITIATOR_DEPTH = 11,
    RVT_CM_EVENT_WORD_PATH_MTU = 12,
    RVT_CM_EVENT_WORD_RETRY_CNT = 13,
    RVT_CM_EVENT_WORD_RNR_RETRY = 14,
    RVT_CM_EVENT_WORD_ACK_TIMEOUT = 15,
    RVT_CM_EVENT_WORD_SRQ = 16,
    RVT_CM_EVENT_WORD_DATA_LENGTH = 17, /* bytes of private data */
    RVT_CM_EVENT_WORD_WORDS = 18,
};

/* ts: CmOfferWord, RVT_CM_OFFER_ */
/* What this end's queue pair has and offers (struct rvt_cm_offer). */
enum rvt_cm_offer_word {
    RVT_CM_OFFER_QPN = 0,
    RVT_CM_OFFER_PSN = 1, /* of the first packet that the peer sends */
    RVT_CM_OFFER_RESPONDER_RESOURCES = 2,
    RVT_CM_OFFER_INITIATOR_DEPTH = 3,
    RVT_CM_OFFER_PATH_MTU = 4,
    RVT_CM_OFFER_RETRY_CNT = 5,
    RVT_CM_OFFER_RNR_RETRY = 6,
    RVT_CM_OFFER_ACK_TIMEOUT = 7,
    RVT_CM_OFFER_SRQ = 8,
    RVT_CM_OFFER_WORDS = 9,
};

/* ts: CmCounter, RVT_CM_COUNTER_ */
/* Counters of a connection manager (struct rvt_cm_counters). */
enum rvt_cm_counter {
    RVT_CM_COUNTER_RECEIVED = 0,   /* messages */
    RVT_CM_COUNTER_SENT = 1,       /* messages, with repeated ones */
    RVT_CM_COUNTER_REPEATED = 2,   /* messages that were sent again because no answer came */
    RVT_CM_COUNTER_MALFORMED = 3,  /* dropped: no message of the connection manager */
    RVT_CM_COUNTER_DUPLICATES = 4, /* messages that came again, or too late */
    RVT_CM_COUNTER_UNKNOWN = 5,    /* messages about connections that do not exist */
    RVT_CM_COUNTER_REQUESTS = 6,   /* requests for a connection that a listener was told */
    RVT_CM_COUNTER_REFUSED = 7,    /* requests that were rejected before a listener was told */
    RVT_CM_COUNTER_STALE = 8,      /* of them because of a connection that the peer has forgotten */
    RVT_CM_COUNTER_OVERFLOWS =
        9, /* requests and answers that were dropped, because too many were half-open */
    RVT_CM_COUNTER_TIMEOUTS = 10,  /* connections that ended because the peer was silent */
    RVT_CM_COUNTER_HALF_OPEN = 11, /* requests that are neither established nor ended now */
    RVT_CM_COUNTER_OPEN = 12, /* connections that are not gone now, with those that wait for late packets */
    RVT_CM_COUNTER_COUNT = 13,
};

/* ts: CqAttrWord, RVT_CQ_ATTR_ */
enum rvt_cq_attr_word {
    RVT_CQ_ATTR_CQE = 0,
    RVT_CQ_ATTR_HELD = 1,
    RVT_CQ_ATTR_BROKEN = 2,
    RVT_CQ_ATTR_WORDS = 3,
};

/* ts: SrqAttrWord, RVT_SRQ_ATTR_ */
enum rvt_srq_attr_word {
    RVT_SRQ_ATTR_MAX_WR = 0,
    RVT_SRQ_ATTR_MAX_SGE = 1,
    RVT_SRQ_ATTR_LIMIT = 2,
    RVT_SRQ_ATTR_HELD = 3,
    RVT_SRQ_ATTR_WORDS = 4,
};

/* ts: SrqMask, RVT_SRQ_SET_ */
/* Which members rvt_modify_srq() changes. */
enum {
    RVT_SRQ_SET_MAX_WR = 1,
    RVT_SRQ_SET_LIMIT = 2,
};

/* --- arrays of 64-bit numbers, by index --- */

/* ts: SgElementField, RVT_SG_ELEMENT_ */
/* An element of the list passed to rvt_map_mr_sg() (struct rvt_sg_element). */
enum rvt_sg_element_field {
    RVT_SG_ELEMENT_ADDRESS = 0, /* DMA address of the element */
    RVT_SG_ELEMENT_LENGTH = 1,
    RVT_SG_ELEMENT_COUNT = 2,
};

/* ts: SgOutcomeField, RVT_SG_OUTCOME_ */
/* The result of rvt_map_mr_sg() (struct rvt_sg_outcome). */
enum rvt_sg_outcome_field {
    RVT_SG_OUTCOME_IOVA = 0,
    RVT_SG_OUTCOME_LENGTH = 1,
    RVT_SG_OUTCOME_COUNT = 2,
};

/* ts: RegionField, RVT_REGION_FIELD_ */
/* The attributes of a region (struct rvt_mr_attributes). */
enum rvt_region_field {
    RVT_REGION_FIELD_ID = 0, /* unique on the device, never reused */
    RVT_REGION_FIELD_LKEY = 1,
    RVT_REGION_FIELD_KIND = 2, /* enum rvt_mr_kind */
    RVT_REGION_FIELD_ACCESS = 3,
    RVT_REGION_FIELD_REFS = 4,
    RVT_REGION_FIELD_START = 5,
    RVT_REGION_FIELD_IOVA = 6,
    RVT_REGION_FIELD_LENGTH = 7,
    RVT_REGION_FIELD_SEGMENTS = 8,
    RVT_REGION_FIELD_MAX_SEGMENTS = 9,
    RVT_REGION_FIELD_VALID = 10,     /* 0: the key was invalidated */
    RVT_REGION_FIELD_HALF_DEAD = 11, /* 1: deregistered, but elements still hold it */
    RVT_REGION_FIELD_COUNTED = 12,   /* 1: the region has counters; 0: the next three fields are 0 */
    RVT_REGION_FIELD_ACCEPTED = 13,
    RVT_REGION_FIELD_REFUSED = 14,
    RVT_REGION_FIELD_BYTES = 15,
    RVT_REGION_FIELD_COUNT = 16,
};

/* ts: WindowField, RVT_WINDOW_FIELD_ */
/* The attributes of a memory window or a lease (struct rvt_mw_attributes). */
enum rvt_window_field {
    RVT_WINDOW_FIELD_ID = 0, /* unique on the device, never reused */
    RVT_WINDOW_FIELD_KEY = 1,
    RVT_WINDOW_FIELD_ACCESS = 2,
    RVT_WINDOW_FIELD_BOUND = 3,
    RVT_WINDOW_FIELD_LEASE = 4,
    RVT_WINDOW_FIELD_EXPIRED = 5,
    RVT_WINDOW_FIELD_REGION = 6,  /* id of the region that it is bound to; 0: none */
    RVT_WINDOW_FIELD_ADDRESS = 7, /* remote address of its first byte */
    RVT_WINDOW_FIELD_LENGTH = 8,
    RVT_WINDOW_FIELD_QP = 9,        /* serial number of the only queue pair whose peer may use it; 0: any */
    RVT_WINDOW_FIELD_DEADLINE = 10, /* of a lease, in ms of the coarse clock that checks compare it with */
    RVT_WINDOW_FIELD_NOW = 11,      /* the time on this clock, before the window was looked at */
    RVT_WINDOW_FIELD_COUNT = 12,
};

/* ts: RegionPlaceField, RVT_PLACE_OF_MR_ */
/* Where a region's bytes are, and how a peer addresses them (struct rvt_mr_place). */
enum rvt_region_place_field {
    RVT_PLACE_OF_MR_PD = 0,          /* serial number of the region's domain */
    RVT_PLACE_OF_MR_MEMORY_KIND = 1, /* enum rvt_memory_kind */
    RVT_PLACE_OF_MR_BUFFER = 2,      /* number of the buffer; 0: none */
    RVT_PLACE_OF_MR_OFFSET = 3,
    RVT_PLACE_OF_MR_LENGTH = 4, /* number of bytes mapped */
    RVT_PLACE_OF_MR_ACCESS = 5,
    RVT_PLACE_OF_MR_REMOTE_ADDRESS = 6, /* address of the first byte in remote checks */
    RVT_PLACE_OF_MR_KEY = 7,
    RVT_PLACE_OF_MR_KIND = 8,  /* enum rvt_mr_kind */
    RVT_PLACE_OF_MR_WORKS = 9, /* 1: the region's key can be used */
    RVT_PLACE_OF_MR_COUNT = 10,
};

/* ts: ViewField, RVT_VIEW_ */
/* Which bytes of which buffer a view covers. */
enum rvt_view_field {
    RVT_VIEW_BUFFER = 0, /* number of the buffer; 0: no part of it is registered or mapped */
    RVT_VIEW_OFFSET = 1,
    RVT_VIEW_LENGTH = 2,
};

/* ts: SgeField, RVT_SGE_FIELD_ */
/* The fields of an accepted element (struct rvt_sge). */
enum rvt_sge_field {
    RVT_SGE_FIELD_REGION = 0,     /* id of the element's region */
    RVT_SGE_FIELD_AT = 1,         /* location of the first byte: offset in the user buffer, or DMA address */
    RVT_SGE_FIELD_LENGTH = 2,     /* bytes left in the segment */
    RVT_SGE_FIELD_SGE_LENGTH = 3, /* bytes of the element */
    RVT_SGE_FIELD_SEGMENT = 4,    /* index of the segment: m * RVT_SEGSZ + n in the kernel's rdmavt */
    RVT_SGE_FIELD_USER = 5,       /* 1: AT is an offset in the user buffer */
    RVT_SGE_FIELD_RIGHTS = 6,     /* access bits that the element was accepted with */
    RVT_SGE_FIELD_REMOTE = 7,     /* 1: accepted by a remote check */
    RVT_SGE_FIELD_REQUEST = 8,    /* the requested address */
    RVT_SGE_FIELD_INDEX = 9,      /* index of the region in its pool */
    RVT_SGE_FIELD_COUNT = 10,
};

/* ts: PlaceField, RVT_PLACE_ */
/* The place that a check without a reference reports for an accepted access (struct rvt_place). */
enum rvt_place_field {
    RVT_PLACE_AT = 0,
    RVT_PLACE_LENGTH = 1,
    RVT_PLACE_SEGMENT = 2,
    RVT_PLACE_COUNT = 3,
};

/* ts: FragmentField, RVT_FRAGMENT_ */
/* A fragment of a walk (struct rvt_fragment). */
enum rvt_fragment_field {
    RVT_FRAGMENT_STEP = 0,   /* index of the walk's step that contains the fragment */
    RVT_FRAGMENT_REGION = 1, /* id of the fragment's region */
    RVT_FRAGMENT_AT = 2,     /* offset in the user buffer, or DMA address, depending on the kind of region */
    RVT_FRAGMENT_LENGTH = 3,
    RVT_FRAGMENT_INDEX = 4, /* index of the region in its pool */
    RVT_FRAGMENT_COUNT = 5,
};

/* ts: CounterField, RVT_COUNTER_ */
/* Counters of a context or device (struct rvt_counts). */
enum rvt_counter_field {
    RVT_COUNTER_ACCEPTED = 0,
    RVT_COUNTER_BYTES = 1,
    RVT_COUNTER_REFUSED = 2, /* one number per reason, starting with RVT_REASON_NONE */
};

/* ts: KeyTableField, RVT_TABLE_ */
/* An occupied slot of the key table (struct rvt_table_row), as doubles. */
enum rvt_table_field {
    RVT_TABLE_INDEX = 0,
    RVT_TABLE_LKEY = 1,
    /* id of the region in the slot, or of the one that the window in the slot is bound to; 0: none */
    RVT_TABLE_REGION = 2,
    RVT_TABLE_REGION_INDEX = 3, /* index of that region in its pool */
    RVT_TABLE_WINDOW = 4,       /* id of the memory window in the slot; 0: a region has the slot */
    RVT_TABLE_COUNT = 5,
};

/* --- objects on a device: rows of 64-bit numbers, by kind --- */

/* ts: MemoryKind, RVT_MEMORY_KIND_ */
/* The kind of memory behind a region or a DMA mapping. */
enum rvt_memory_kind {
    RVT_MEMORY_KIND_NONE = 0,  /* no memory of its own: the region maps nothing, or DMA addresses */
    RVT_MEMORY_KIND_OTHER = 1, /* memory whose owner does not report what it is */
    RVT_MEMORY_KIND_ARRAY_BUFFER = 2,
    RVT_MEMORY_KIND_SHARED = 3, /* a SharedArrayBuffer */
    RVT_MEMORY_KIND_DEVICE = 4,
};

/* ts: Detached, RVT_DETACHED_ */
/* Whether the buffer behind a region or DMA mapping has been detached. */
enum rvt_detached {
    RVT_DETACHED_NO = 0,
    RVT_DETACHED_YES = 1,
    RVT_DETACHED_UNKNOWN = 2, /* only the thread that owns the buffer can tell */
};

/* ts: ResourceKind, RVT_RESOURCE_ */
enum rvt_resource_kind {
    RVT_RESOURCE_CONTEXT = 0,
    RVT_RESOURCE_PD = 1,
    RVT_RESOURCE_QP = 2,
    RVT_RESOURCE_MR = 3,
    RVT_RESOURCE_DMA = 4,
    RVT_RESOURCE_MEMORY = 5,
    RVT_RESOURCE_CQ = 6,
    RVT_RESOURCE_SRQ = 7,
    RVT_RESOURCE_AH = 8,
    RVT_RESOURCE_MW = 9,
    RVT_RESOURCE_KINDS = 10,
};

/* ts: ContextRow, RVT_CONTEXT_ */
enum rvt_context_row {
    RVT_CONTEXT_ID = 0,
    RVT_CONTEXT_FIELDS = 1,
};

/* ts: PdRow, RVT_PD_ */
enum rvt_pd_row {
    RVT_PD_SERIAL = 0,
    RVT_PD_CONTEXT = 1, /* id of the context that owns the object (all rows with a CONTEXT) */
    RVT_PD_USER = 2,
    RVT_PD_CHILDREN = 3,
    RVT_PD_FIELDS = 4,
};

/* ts: QpRow, RVT_QP_ */
enum rvt_qp_row {
    RVT_QP_SERIAL = 0,
    RVT_QP_CONTEXT = 1,
    RVT_QP_PD = 2,   /* serial number of the queue pair's domain */
    RVT_QP_TYPE = 3, /* enum rvt_qp_type; the following fields are 0 for RVT_QPT_CHECK */
    RVT_QP_NUMBER = 4,
    RVT_QP_STATE = 5,    /* enum rvt_qp_state */
    RVT_QP_SENDS = 6,    /* work requests in its send queue */
    RVT_QP_RECEIVES = 7, /* work requests in its receive queue */
    RVT_QP_PEER = 8,     /* number of the queue pair that it is connected to */
    RVT_QP_SEND_CQ = 9,  /* serial numbers of its queues; 0: it has none */
    RVT_QP_RECV_CQ = 10,
    RVT_QP_SRQ = 11,
    RVT_QP_FIELDS = 12,
};

/* ts: CqRow, RVT_CQ_ */
enum rvt_cq_row {
    RVT_CQ_SERIAL = 0,
    RVT_CQ_CONTEXT = 1,
    RVT_CQ_CQE = 2,    /* completions that it can hold */
    RVT_CQ_HELD = 3,   /* completions that it holds */
    RVT_CQ_USERS = 4,  /* queue pairs that use it */
    RVT_CQ_BROKEN = 5, /* 1: a completion found it full */
    RVT_CQ_FIELDS = 6,
};

/* ts: SrqRow, RVT_SRQ_ */
enum rvt_srq_row {
    RVT_SRQ_SERIAL = 0,
    RVT_SRQ_CONTEXT = 1,
    RVT_SRQ_PD = 2,
    RVT_SRQ_MAX_WR = 3,
    RVT_SRQ_MAX_SGE = 4,
    RVT_SRQ_LIMIT = 5,
    RVT_SRQ_HELD = 6,  /* receives that it holds */
    RVT_SRQ_USERS = 7, /* queue pairs that take from it */
    RVT_SRQ_FIELDS = 8,
};

/* ts: AhRow, RVT_AH_ */
enum rvt_ah_row {
    RVT_AH_SERIAL = 0,
    RVT_AH_CONTEXT = 1,
    RVT_AH_PD = 2,
    RVT_AH_DLID = 3,
    RVT_AH_SL = 4,
    RVT_AH_FIELDS = 5,
};

/* ts: RegionRow, RVT_MR_ */
enum rvt_mr_row {
    RVT_MR_ID = 0,
    RVT_MR_CONTEXT = 1,
    RVT_MR_PD = 2, /* serial number of the region's domain */
    RVT_MR_KEY = 3,
    RVT_MR_KIND = 4, /* enum rvt_mr_kind */
    RVT_MR_ACCESS = 5,
    RVT_MR_REFS = 6,
    RVT_MR_START = 7,
    RVT_MR_IOVA = 8,
    RVT_MR_LENGTH = 9,
    RVT_MR_SEGMENTS = 10,
    RVT_MR_MAX_SEGMENTS = 11,
    RVT_MR_VALID = 12,       /* 0: the key was invalidated */
    RVT_MR_HALF_DEAD = 13,   /* 1: deregistered, but elements still hold it */
    RVT_MR_INDEX = 14,       /* index of the region in its pool */
    RVT_MR_MEMORY_KIND = 15, /* enum rvt_memory_kind */
    RVT_MR_BUFFER = 16,      /* number of the buffer, unique in the process; 0: none */
    RVT_MR_OFFSET = 17,      /* offset in bytes of the region's first byte in the buffer */
    RVT_MR_DETACHED = 18,    /* enum rvt_detached */
    RVT_MR_FIELDS = 19,
};

/* ts: WindowRow, RVT_MW_ */
enum rvt_mw_row {
    RVT_MW_ID = 0,
    RVT_MW_CONTEXT = 1,
    RVT_MW_PD = 2,
    RVT_MW_KEY = 3,
    RVT_MW_LEASE = 4,   /* 1: a lease; 0: a window of type 2B */
    RVT_MW_REGION = 5,  /* id of the region that it is bound to; 0: none, and the next four fields are 0 */
    RVT_MW_ADDRESS = 6, /* remote address of its first byte */
    RVT_MW_LENGTH = 7,
    RVT_MW_ACCESS = 8,
    RVT_MW_QP = 9,       /* serial number of the only queue pair whose peer may use it; 0: any */
    RVT_MW_MS_LEFT = 10, /* lease: milliseconds until it expires; 0: it has expired */
    RVT_MW_FIELDS = 11,
};

/* ts: DmaRow, RVT_DMA_ */
enum rvt_dma_row {
    RVT_DMA_SERIAL = 0,
    RVT_DMA_CONTEXT = 1,
    RVT_DMA_ADDRESS = 2,
    RVT_DMA_LENGTH = 3,
    RVT_DMA_USERS = 4,       /* page lists that map it, plus key-0 elements that hold it */
    RVT_DMA_MEMORY_KIND = 5, /* this and the next three fields: as in a region's row */
    RVT_DMA_BUFFER = 6,
    RVT_DMA_OFFSET = 7,
    RVT_DMA_DETACHED = 8,
    RVT_DMA_FIELDS = 9,
};

/* ts: MemoryRow, RVT_MEMORY_ */
enum rvt_memory_row {
    RVT_MEMORY_SERIAL = 0,
    RVT_MEMORY_BYTES = 1,
    RVT_MEMORY_USES = 2, /* regions and DMA mappings that use the memory */
    RVT_MEMORY_HUGE = 3,
    RVT_MEMORY_BUFFER = 4, /* number of the buffer, as in a region's row */
    RVT_MEMORY_FIELDS = 5,
};

/* ts: HeldRow, RVT_HELD_ */
/* The elements that this thread holds: one row per single element, and one row per region of which a batch
 * holds elements. */
enum rvt_held_row {
    RVT_HELD_CELL = 0, /* cell of a single element; 0: the row is of a batch */
    RVT_HELD_GENERATION = 1,
    RVT_HELD_BATCH = 2,   /* number of the batch; 0: the row is of a single element */
    RVT_HELD_COUNT = 3,   /* number of elements */
    RVT_HELD_REGION = 4,  /* id of the region that the elements hold */
    RVT_HELD_ADDRESS = 5, /* the requested address of a single element; ACCESS: its access bits */
    RVT_HELD_LENGTH = 6,  /* bytes of all elements together */
    RVT_HELD_ACCESS = 7,
    RVT_HELD_REMOTE = 8, /* 1: accepted by a remote check */
    RVT_HELD_FIELDS = 9,
};

/* --- the explanation of a refused access: rows of 64-bit numbers --- */

/* ts: SlotRow, RVT_SLOT_ */
/* A slot of the key table, or a region found by a search. */
enum rvt_slot_row {
    RVT_SLOT_SEQUENCE = 0, /* changes whenever the slot's record changes; 0 for key 0 */
    RVT_SLOT_KEY = 1,      /* the slot's key; the last key if the slot is empty; 0: never used */
    RVT_SLOT_LIVE = 2,     /* 1: the slot holds a region, whose row follows */
    RVT_SLOT_HIDDEN = 3,   /* 1: the caller may not see which region is or was in the slot */
    RVT_SLOT_IOVA = 4,     /* the region's address in remote checks */
    RVT_SLOT_REGION = 5,   /* start of the region's row (enum rvt_mr_row) */
    /* 1: a memory window has the slot, 2: a lease; the region, if any, is the one that it is bound to. 0: the
     * fields below are 0 */
    RVT_SLOT_WINDOW = 24,
    RVT_SLOT_WINDOW_ADDRESS = 25, /* remote address of its first byte */
    RVT_SLOT_WINDOW_LENGTH = 26,
    RVT_SLOT_WINDOW_ACCESS = 27,
    RVT_SLOT_WINDOW_QP = 28,      /* serial number of the only queue pair whose peer may use it; 0: any */
    RVT_SLOT_WINDOW_MS_LEFT = 29, /* lease: milliseconds until it expires; 0: it has expired */
    RVT_SLOT_WINDOW_PD = 30,      /* serial number of its domain */
    RVT_SLOT_RESERVED = 31,
    RVT_SLOT_FIELDS = 32,
};

/* ts: FoundRegion, RVT_FOUND_ */
/* Regions found by a search for an address: at most one of each kind. */
enum rvt_found_region {
    RVT_FOUND_OWN = 0, /* in the checker's domain, by the kind of address that the check uses */
    /* in the checker's domain, by the other kind: start for remote, iova for local checks */
    RVT_FOUND_OWN_OTHER_WAY = 1,
    RVT_FOUND_OTHERS = 2,           /* in another domain, by the kind of address that the check uses */
    RVT_FOUND_OTHERS_OTHER_WAY = 3, /* in another domain, by the other kind of address */
    RVT_FOUND_HALF_DEAD = 4,        /* a half-dead region that had the key, whatever its addresses */
    RVT_FOUND_KINDS = 5,
};

/* ts: AskedRow, RVT_ASKED_ */
/* The domain on whose behalf the access was judged, and other facts about the access. */
enum rvt_asked_row {
    RVT_ASKED_NOW = 0,             /* the verdict if the access were judged now: 0, or the reason */
    RVT_ASKED_PD = 1,              /* serial number of the checker's domain */
    RVT_ASKED_USER = 2,            /* 1: the checker's domain is a user domain */
    RVT_ASKED_REMOTE_KEY_ZERO = 3, /* 1: the device was opened with remoteKeyZero */
    RVT_ASKED_DMA = 4,             /* 1: the next two fields describe a DMA mapping; 0: there is none */
    /* address of the mapping that contains the requested address, else of the next one */
    RVT_ASKED_DMA_ADDRESS = 5,
    RVT_ASKED_DMA_LENGTH = 6,
    RVT_ASKED_SEARCHED_ALL = 7, /* 1: the search covered every region of the device */
    RVT_ASKED_FAULTS = 8,       /* 1: the device refuses accesses on purpose */
    RVT_ASKED_RKEY_MASK =
        9, /* the bits in which lkey and rkey of a region differ; 0: the device is not strict */
    RVT_ASKED_FIELDS = 10,
};

/* ts: Explained, RVT_EXPLAINED_ */
/* Where each row starts in the array that explainAccess fills. */
enum rvt_explained {
    RVT_EXPLAINED_ASKED = 0,    /* a row of enum rvt_asked_row */
    RVT_EXPLAINED_SLOT = 10,    /* the row of the key's slot (enum rvt_slot_row) */
    RVT_EXPLAINED_SWAPPED = 42, /* the row of the slot of the key with its bytes reversed */
    RVT_EXPLAINED_FOUND = 74,   /* RVT_FOUND_KINDS rows of regions found (enum rvt_slot_row) */
    RVT_EXPLAINED_COUNT = 234,
};

/* --- batches and single checks: blocks of shared memory --- */

/* ts: constants */
enum {
    /* The size of an element, struct ib_sge { u64 address, u32 length, u32 key } in host byte order. */
    RVT_PACKED_SGE_BYTES = 16,
    /* The verdict of a coalesced element: accepted and merged into the last accepted one. */
    RVT_BATCH_COALESCED = 256,
    /* The maximum number of elements in a batch. */
    RVT_BATCH_MAX_ELEMENTS = 0x1000000,
    /* The size of a block's header. The elements follow it, then the columns. */
    RVT_BLOCK_HEADER_BYTES = 64,
};

/* ts: HeaderWord, RVT_HEADER_ */
/* The words of a block's header, by index. A call reads the first three and writes the others. */
enum rvt_header_word {
    RVT_HEADER_COUNT = 0,  /* in: number of elements */
    RVT_HEADER_ACCESS = 1, /* in: access bits requested for all elements */
    RVT_HEADER_FLAGS = 2,  /* in: bits of enum rvt_header_flag */
    RVT_HEADER_PASSED = 3, /* out: number of accepted elements */
    /* out: index of the first refused element, or the count if none was refused */
    RVT_HEADER_FIRST_REFUSED = 4,
    RVT_HEADER_REASON = 5, /* out: why the first refused element was refused */
    RVT_HEADER_STATUS = 6, /* out: 0, or a negative errno */
};

/* ts: HeaderDouble, RVT_HEADER_DOUBLE_ */
/* The doubles in the header, by index. They follow the words above. */
enum rvt_header_double {
    RVT_HEADER_DOUBLE_BYTES_MOVED = 4, /* bytes moved by a copy */
    /* For a copy with RVT_HEADER_FLAG_ALL whose list was accepted as a whole: the bytes of the list, and the
     * bytes of the buffer or the other list. Nothing was moved unless they fit. */
    RVT_HEADER_DOUBLE_LIST_BYTES = 5,
    RVT_HEADER_DOUBLE_OTHER_BYTES = 6,
};

/* ts: HeaderFlag, RVT_HEADER_FLAG_ */
enum rvt_header_flag {
    RVT_HEADER_FLAG_COALESCE = 1, /* merge an element that continues the previous one into it */
    RVT_HEADER_FLAG_ALL = 2,      /* a copy judges its whole list before moving any byte */
};

/* ts: BlockColumn, RVT_BLOCK_ */
/* Where the elements and the columns start, relative to the end of the header: in bytes per element of the
 * batch's capacity. Without places, the columns from REGIONS to SEGMENTS are left out and VERDICTS starts
 * where REGIONS would. ACCESSES exists only if each element has access bits of its own. */
enum rvt_block_column {
    RVT_BLOCK_ELEMENTS = 0,
    RVT_BLOCK_REGIONS = 16,   /* double: id of the region */
    RVT_BLOCK_POSITIONS = 24, /* u64: offset in the user buffer, or DMA address */
    RVT_BLOCK_LENGTHS = 32,   /* u32: bytes left in the segment */
    RVT_BLOCK_SEGMENTS = 36,  /* u32: index of the segment */
    RVT_BLOCK_VERDICTS = 40,  /* u32: 0, RVT_BATCH_COALESCED, or the reason */
    RVT_BLOCK_ACCESSES = 44,  /* u32, in: access bits requested for the element */
    RVT_BLOCK_END = 48,
};

/* --- single calls: the command block --- */

/* ts: constants */
enum {
    /* The size of the command block: shared memory from which calls of an environment read their arguments,
     * and into which they write their results. */
    RVT_COMMAND_BYTES = 256,
};

/* ts: CommandWord, RVT_COMMAND_ */
/* The 32-bit words of the command block, by index. A call reads only the words that its description names.
 * 64-bit numbers take two words, in host byte order, and start at an even index. */
enum rvt_command_word {
    RVT_COMMAND_ANSWER = 0, /* out: 0, a reason, RVT_BATCH_COALESCED, a count (mapSg), or a negative errno */
    /* in: number of the domain or queue pair to check for, or of a region's domain */
    RVT_COMMAND_CHECKER = 1,
    RVT_COMMAND_ACCESS = 2, /* in: access bits requested */
    RVT_COMMAND_FLAGS = 3,  /* in: bits of enum rvt_command_flag */
    /* in: the access, as a packed struct ib_sge; an offset in calls that take one */
    RVT_COMMAND_ADDRESS = 4,
    RVT_COMMAND_LENGTH = 6,
    RVT_COMMAND_KEY = 7,
    RVT_COMMAND_CELL = 8, /* in: an element, by its cell and the cell's generation */
    RVT_COMMAND_CELL_GENERATION = 9,
    RVT_COMMAND_LAST_CELL = 10, /* in: the element that a new one may be merged into; 0: none */
    RVT_COMMAND_LAST_GENERATION = 11,
    RVT_COMMAND_MODE = 12,   /* in: enum rvt_release_mode */
    RVT_COMMAND_REGION = 13, /* in, out: a region, by its index in its pool and the generation there */
    RVT_COMMAND_REGION_GENERATION = 14, /* in, out: generation of the region's place in its pool, 64 bits */
    RVT_COMMAND_START = 16,             /* in, out: start and iova of a region, 64 bits each */
    RVT_COMMAND_IOVA = 18,
    RVT_COMMAND_BYTES_MOVED = 20, /* out: bytes moved by a copy */
    RVT_COMMAND_RESULT = 22,      /* out: the value before an atomic operation, 64 bits */
    RVT_COMMAND_FIELDS = 24,      /* out: up to 16 numbers of 64 bits: RegionField, SgeField, ... */
    RVT_COMMAND_OPERAND = 56,     /* in: operands of an atomic operation, 64 bits each */
    RVT_COMMAND_COMPARE = 58,
    /* out, 64 bits: the sequence of the key's record after a refused check (RVT_SLOT_SEQUENCE) */
    RVT_COMMAND_RECORD_SEQUENCE = 60,
    /* in: number of the domain that a region is re-registered in, or of the queue pair that a lease is for */
    RVT_COMMAND_NEW_CHECKER = 62,
};

/* ts: CommandFlag, RVT_COMMAND_FLAG_ */
enum rvt_command_flag {
    /* the region starts at START; otherwise the device picks a free range */
    RVT_COMMAND_FLAG_START_GIVEN = 1,
    /* the region's iova is IOVA; otherwise it equals its start, or stays unchanged */
    RVT_COMMAND_FLAG_IOVA_GIVEN = 2,
    RVT_COMMAND_FLAG_ORDERED = 4, /* write the last 8 bytes of a copy last, one by one in ascending order */
    /* what a re-registration changes: the bits of enum rvt_rereg_flag, times 8 */
    RVT_COMMAND_FLAG_REREG_TRANSLATION = 8,
    RVT_COMMAND_FLAG_REREG_PD = 16,
    RVT_COMMAND_FLAG_REREG_ACCESS = 32,
    /* the region does not keep its ArrayBuffer alive; one that was collected answers like a detached one */
    RVT_COMMAND_FLAG_WEAK = 64,
};

/* ts: ElementNameWord, RVT_ELEMENT_NAME_ */
/* The name of an element in a list of elements, as 32-bit words. */
enum rvt_element_name_word {
    RVT_ELEMENT_NAME_CELL = 0,
    RVT_ELEMENT_NAME_GENERATION = 1,
    RVT_ELEMENT_NAME_WORDS = 2,
};

/* ts: RegionNameWord, RVT_REGION_NAME_ */
/* The name of a region in a list of regions, as 32-bit words. */
enum rvt_region_name_word {
    RVT_REGION_NAME_CHECKER = 0,    /* number of the region's domain */
    RVT_REGION_NAME_INDEX = 1,      /* index of the region in its pool */
    RVT_REGION_NAME_GENERATION = 2, /* generation of that place, 64 bits in host byte order */
    RVT_REGION_NAME_WORDS = 4,
};

/* --- RoCEv2 packets and capture files (native/wire) --- */

/* ts: constants */
enum {
    RVT_ROCE_UDP_PORT = 4791, /* the UDP destination port of RoCEv2 */
    /* The most READs and atomic operations of a peer that an endpoint keeps open for a queue pair. */
    RVT_MOST_INCOMING_READS = 16,
    /* The most bytes of a packet that a capture file may hold, as in libpcap and Wireshark. */
    RVT_CAPTURE_MAX_PACKET = 262144,
    RVT_CAPTURE_MAX_INTERFACES = 1024, /* the most interfaces of a pcapng section */
    /* The block of a packet reader: a header, then the payload of a packet that began in an earlier chunk,
     * then rows. All three begin at a multiple of 8 bytes. */
    RVT_WIRE_HEADER_BYTES = 128,
    RVT_WIRE_CARRIED_AT = 128,     /* byte offset of the carried payload */
    RVT_WIRE_CARRIED_BYTES = 4096, /* its most bytes; the rest of a longer payload is not there */
    RVT_WIRE_ROWS_AT = 4224,       /* byte offset of the first row */
    RVT_WIRE_ROW_BYTES = 208,      /* RVT_WIRE_ROW_WORDS words */
    RVT_WIRE_MAX_ROWS = 65536,     /* the most rows of a block */
    RVT_WIRE_NO_VLAN = 0xffff,     /* in RVT_WIRE_ROW_VLAN: the frame has no VLAN tag */
};

/* ts: WireHeaderWord, RVT_WIRE_HEADER_ */
/* The 32-bit words of the block's header, by index. Each call writes them. */
enum rvt_wire_header_word {
    RVT_WIRE_HEADER_ROWS = 0,   /* rows that the call has filled */
    RVT_WIRE_HEADER_STATUS = 1, /* enum rvt_capture_status. Not OK: the reader has stopped */
    RVT_WIRE_HEADER_FORMAT = 2, /* enum rvt_capture_format */
    /* link type (as in the file) of the last packet whose link type cannot be read */
    RVT_WIRE_HEADER_UNREAD_LINK_TYPE = 3,
};

/* ts: WireHeaderDouble, RVT_WIRE_HEADER_DOUBLE_ */
/* The doubles of the block's header, by index. They follow the words above. All but TAKEN count from the
 * beginning of the file. */
enum rvt_wire_header_double {
    RVT_WIRE_HEADER_DOUBLE_TAKEN = 2, /* bytes of this call's chunk that were taken */
    /* offset in the file, in bytes: of the packet or block at fault if STATUS is not OK, else behind the last
     * byte taken */
    RVT_WIRE_HEADER_DOUBLE_POSITION = 3,
    RVT_WIRE_HEADER_DOUBLE_PACKETS = 4,     /* packets in the file, of any kind */
    RVT_WIRE_HEADER_DOUBLE_ROCE = 5,        /* of these: RoCEv2 packets, each of which has a row */
    RVT_WIRE_HEADER_DOUBLE_FRAGMENTS = 6,   /* of these: fragments of IP packets behind the first one */
    RVT_WIRE_HEADER_DOUBLE_ROCE_V1 = 7,     /* of these: RoCEv1 (EtherType 0x8915), which is not read */
    RVT_WIRE_HEADER_DOUBLE_UNREAD_LINK = 8, /* of these: of a link type that cannot be read */
};

/* ts: CaptureFormat, RVT_CAPTURE_FORMAT_ */
enum rvt_capture_format {
    RVT_CAPTURE_FORMAT_UNKNOWN = 0, /* not enough bytes yet */
    RVT_CAPTURE_FORMAT_PCAP = 1,
    RVT_CAPTURE_FORMAT_PCAPNG = 2,
};

/* ts: CaptureStatus, RVT_CAPTURE_ */
/* Why a capture file cannot be read further. */
enum rvt_capture_status {
    RVT_CAPTURE_OK = 0,
    RVT_CAPTURE_EMPTY = 1,         /* the file has no bytes */
    RVT_CAPTURE_NOT_A_CAPTURE = 2, /* neither pcap nor pcapng */
    RVT_CAPTURE_COMPRESSED = 3,    /* compressed by gzip, zstd or LZ4: decompress it first */
    RVT_CAPTURE_VERSION = 4,       /* an unknown version of pcap or pcapng */
    RVT_CAPTURE_TRUNCATED = 5,     /* the file ends in the middle of a header, a packet or a block */
    RVT_CAPTURE_TOO_LARGE = 6,     /* a packet has more than RVT_CAPTURE_MAX_PACKET bytes */
    /* pcapng: the length of a block is too small for its content, not a multiple of 4, or not the same at
     * both ends */
    RVT_CAPTURE_BLOCK_LENGTH = 7,
    RVT_CAPTURE_BYTE_ORDER = 8,  /* pcapng: a section header has no valid byte order mark */
    RVT_CAPTURE_INTERFACE = 9,   /* pcapng: a packet names an interface that was not described before */
    RVT_CAPTURE_INTERFACES = 10, /* pcapng: more than RVT_CAPTURE_MAX_INTERFACES in a section */
    RVT_CAPTURE_OPTION = 11,     /* pcapng: an option does not fit into its block, or has a wrong length */
    RVT_CAPTURE_RESOLUTION = 12, /* pcapng: time stamps finer than 10^-19 or 2^-63 s */
};

/* ts: WireRow, RVT_WIRE_ROW_ */
/* The 32-bit words of a row, by index. A row is one RoCEv2 packet of the file: a UDP datagram to port 4791.
 * Fields of headers that the packet does not have are 0. Numbers are in host byte order. */
enum rvt_wire_row {
    RVT_WIRE_ROW_NUMBER =
        0, /* a double: the number of the packet in the file, from 1, as Wireshark shows it */
    RVT_WIRE_ROW_SECONDS = 2,     /* a double: time of capture, whole seconds since 1970 UTC */
    RVT_WIRE_ROW_NANOSECONDS = 4, /* 0 to 999,999,999, to be added to the seconds */
    RVT_WIRE_ROW_ORIGINAL = 5,    /* length of the frame on the wire, in bytes */
    RVT_WIRE_ROW_CAPTURED = 6,    /* bytes of it in the file */
    RVT_WIRE_ROW_FLAGS = 7,       /* bits of enum rvt_wire_flag */
    RVT_WIRE_ROW_FAULT = 8,       /* enum rvt_wire_fault: what is malformed; 0 if nothing is */
    RVT_WIRE_ROW_HEADERS = 9,     /* bits of enum rvt_wire_headers: the headers that were decoded */
    /* Base transport header, valid if HEADERS has RVT_WIRE_HAS_BTH. */
    RVT_WIRE_ROW_OPCODE = 10,  /* 8 bits: enum rvt_bth_opcode, or an unknown one */
    RVT_WIRE_ROW_DEST_QP = 11, /* 24 bits */
    RVT_WIRE_ROW_PSN = 12,     /* 24 bits */
    RVT_WIRE_ROW_PKEY = 13,    /* 16 bits */
    /* Four words each, from the first byte on; the first byte of an address is the highest of the first word.
     * IPv4 as ::ffff:a.b.c.d, so a.b.c.d is the last word. */
    RVT_WIRE_ROW_SOURCE = 14,
    RVT_WIRE_ROW_DESTINATION = 18,
    /* Hashes of the two addresses: equal for equal addresses. Different ones may have the same hash, even on
     * purpose. */
    RVT_WIRE_ROW_SOURCE_HASH = 22,
    RVT_WIRE_ROW_DESTINATION_HASH = 23,
    RVT_WIRE_ROW_SOURCE_PORT = 24,   /* UDP source port */
    RVT_WIRE_ROW_TRAFFIC_CLASS = 25, /* ToS byte of IPv4, traffic class of IPv6; the low 2 bits are ECN */
    RVT_WIRE_ROW_IP_ID = 26,         /* identification of IPv4; 0 for IPv6 */
    RVT_WIRE_ROW_VLAN = 27,          /* VLAN id of the innermost tag, or RVT_WIRE_NO_VLAN */
    /* RETH, or AtomicETH. The address has 64 bits, low word first. */
    RVT_WIRE_ROW_ADDRESS = 28,
    RVT_WIRE_ROW_RKEY = 30,
    RVT_WIRE_ROW_LENGTH = 31, /* RETH: bytes of the whole message. AtomicETH: 8 */
    /* AtomicETH and AtomicAckETH: 64 bits each, low word first. */
    RVT_WIRE_ROW_SWAP_ADD = 32, /* the value to store (CMP_SWAP) or to add (FETCH_ADD) */
    RVT_WIRE_ROW_COMPARE = 34,
    RVT_WIRE_ROW_ORIGINAL_VALUE = 36, /* AtomicAckETH: the value before the atomic */
    RVT_WIRE_ROW_SYNDROME = 38,       /* AETH, 8 bits: enum rvt_aeth_kind in the bits 5 and 6, see there */
    RVT_WIRE_ROW_MSN = 39,            /* AETH, 24 bits */
    RVT_WIRE_ROW_IMMEDIATE = 40,      /* ImmDt: the 4 bytes as a big-endian number */
    RVT_WIRE_ROW_INVALIDATE = 41,     /* IETH: the rkey to invalidate */
    RVT_WIRE_ROW_QKEY = 42,           /* DETH */
    RVT_WIRE_ROW_SOURCE_QP = 43,      /* DETH, 24 bits */
    /* Offset of the payload: in the chunk of this call; with RVT_WIRE_FLAG_CARRIED from RVT_WIRE_CARRIED_AT on
     * instead. */
    RVT_WIRE_ROW_PAYLOAD_AT = 44,
    RVT_WIRE_ROW_PAYLOAD_LENGTH = 45, /* bytes of the payload on the wire, without pad bytes */
    RVT_WIRE_ROW_PAYLOAD_BYTES = 46,  /* of these: bytes that are there, from PAYLOAD_AT on */
    RVT_WIRE_ROW_PAD = 47,            /* pad bytes, 0 to 3 */
    RVT_WIRE_ROW_ICRC = 48,           /* enum rvt_icrc_verdict */
    RVT_WIRE_ROW_ICRC_FOUND = 49,     /* the ICRC that the packet has; 0 if not checked */
    RVT_WIRE_ROW_ICRC_COMPUTED = 50,  /* the ICRC that it should have; 0 if not checked */
    RVT_WIRE_ROW_ICRC_IP_ID = 51,     /* with RVT_ICRC_OTHER_ID: the IP ID for which the ICRC is right */
    RVT_WIRE_ROW_WORDS = 52,
};

/* ts: WireFlag, RVT_WIRE_FLAG_ */
enum rvt_wire_flag {
    RVT_WIRE_FLAG_SOLICITED = 1,           /* BTH: solicited event */
    RVT_WIRE_FLAG_MIGREQ = 2,              /* BTH: migration request */
    RVT_WIRE_FLAG_ACK_REQ = 4,             /* BTH: acknowledge request */
    RVT_WIRE_FLAG_FECN = 8,                /* BTH: forward congestion notification */
    RVT_WIRE_FLAG_BECN = 16,               /* BTH: backward congestion notification */
    RVT_WIRE_FLAG_IPV6 = 32,               /* IPv6; otherwise IPv4 */
    RVT_WIRE_FLAG_CUT = 64,                /* the file has only the beginning of the frame (snap length) */
    RVT_WIRE_FLAG_CARRIED = 128,           /* the payload is in the block, see RVT_WIRE_ROW_PAYLOAD_AT */
    RVT_WIRE_FLAG_IP_OPTIONS = 256,        /* IPv4 options or IPv6 extension headers */
    RVT_WIRE_FLAG_BAD_IP_CHECKSUM = 512,   /* wrong checksum of the IPv4 header */
    RVT_WIRE_FLAG_BAD_UDP_CHECKSUM = 1024, /* the UDP checksum is not 0, and wrong */
    RVT_WIRE_FLAG_TRAILER =
        2048, /* bytes follow the IP packet in the frame: padding, or a frame check sequence */
};

/* ts: WireHeaders, RVT_WIRE_HAS_ */
enum rvt_wire_headers {
    RVT_WIRE_HAS_BTH = 1,
    RVT_WIRE_HAS_RETH = 2,
    RVT_WIRE_HAS_ATOMIC_ETH = 4,
    RVT_WIRE_HAS_AETH = 8,
    RVT_WIRE_HAS_ATOMIC_ACK_ETH = 16,
    RVT_WIRE_HAS_IMM = 32,
    RVT_WIRE_HAS_IETH = 64,
    RVT_WIRE_HAS_DETH = 128,
};

/* ts: WireFault, RVT_WIRE_FAULT_ */
/* Why a packet to the port of RoCEv2 is malformed: the first rule that it breaks. What was decoded before is
 * valid. */
enum rvt_wire_fault {
    RVT_WIRE_FAULT_NONE = 0,
    RVT_WIRE_FAULT_FRAGMENT = 1,   /* the first fragment of an IP packet, which is not reassembled */
    RVT_WIRE_FAULT_IP_LENGTH = 2,  /* the length in the IP header is not that of a packet within the frame */
    RVT_WIRE_FAULT_UDP_LENGTH = 3, /* the UDP length is not the rest of the IP packet */
    RVT_WIRE_FAULT_SHORT = 4,      /* no room for a BTH and an ICRC */
    RVT_WIRE_FAULT_VERSION = 5,    /* the transport header version is not 0 */
    RVT_WIRE_FAULT_OPCODE = 6,     /* an opcode that is not of RC, UC, UD or CNP */
    RVT_WIRE_FAULT_HEADERS = 7,    /* no room for the headers that the opcode has */
    RVT_WIRE_FAULT_PAD = 8,        /* more pad bytes than bytes, or a length that is not a multiple of 4 */
    RVT_WIRE_FAULT_PAYLOAD = 9,    /* a payload length that the opcode cannot have */
    RVT_WIRE_FAULT_CUT = 10,       /* the file ends the frame in front of or in one of its headers */
};

/* ts: IcrcVerdict, RVT_ICRC_ */
enum rvt_icrc_verdict {
    RVT_ICRC_NOT_CHECKED = 0, /* the file does not have all bytes of the packet, or its lengths are wrong */
    RVT_ICRC_GOOD = 1,
    RVT_ICRC_BAD = 2,
    /* wrong, but it would be right if the IPv4 header had another identification (RVT_WIRE_ROW_ICRC_IP_ID). One
     * in 65,536 damaged packets gets this verdict by chance. */
    RVT_ICRC_OTHER_ID = 3,
};

/* ts: AethKind, RVT_AETH_ */
/* The kind of an acknowledge packet: (syndrome >> 5) & 3. The low 5 bits are the credits (ACK), the timer (RNR
 * NAK) or enum rvt_nak_code (NAK). */
enum rvt_aeth_kind {
    RVT_AETH_ACK = 0,
    RVT_AETH_RNR_NAK = 1,
    RVT_AETH_RESERVED = 2,
    RVT_AETH_NAK = 3,
};

/* ts: NakCode, RVT_NAK_ */
enum rvt_nak_code {
    RVT_NAK_PSN_SEQUENCE_ERROR = 0,
    RVT_NAK_INVALID_REQUEST = 1,
    RVT_NAK_REMOTE_ACCESS_ERROR = 2,
    RVT_NAK_REMOTE_OPERATIONAL_ERROR = 3,
    RVT_NAK_INVALID_RD_REQUEST = 4,
};

/* ts: BthOpcode, RVT_BTH_ */
/* Opcodes of the base transport header. The top 3 bits are the transport: 0 RC, 1 UC, 3 UD, 4 congestion
 * notification. */
enum rvt_bth_opcode {
    RVT_BTH_RC_SEND_FIRST = 0x00,
    RVT_BTH_RC_SEND_MIDDLE = 0x01,
    RVT_BTH_RC_SEND_LAST = 0x02,
    RVT_BTH_RC_SEND_LAST_WITH_IMM = 0x03,
    RVT_BTH_RC_SEND_ONLY = 0x04,
    RVT_BTH_RC_SEND_ONLY_WITH_IMM = 0x05,
    RVT_BTH_RC_WRITE_FIRST = 0x06,
    RVT_BTH_RC_WRITE_MIDDLE = 0x07,
    RVT_BTH_RC_WRITE_LAST = 0x08,
    RVT_BTH_RC_WRITE_LAST_WITH_IMM = 0x09,
    RVT_BTH_RC_WRITE_ONLY = 0x0a,
    RVT_BTH_RC_WRITE_ONLY_WITH_IMM = 0x0b,
    RVT_BTH_RC_READ_REQUEST = 0x0c,
    RVT_BTH_RC_READ_RESPONSE_FIRST = 0x0d,
    RVT_BTH_RC_READ_RESPONSE_MIDDLE = 0x0e,
    RVT_BTH_RC_READ_RESPONSE_LAST = 0x0f,
    RVT_BTH_RC_READ_RESPONSE_ONLY = 0x10,
    RVT_BTH_RC_ACKNOWLEDGE = 0x11,
    RVT_BTH_RC_ATOMIC_ACKNOWLEDGE = 0x12,
    RVT_BTH_RC_CMP_SWAP = 0x13,
    RVT_BTH_RC_FETCH_ADD = 0x14,
    RVT_BTH_RC_SEND_LAST_WITH_INV = 0x16,
    RVT_BTH_RC_SEND_ONLY_WITH_INV = 0x17,
    RVT_BTH_UC_SEND_FIRST = 0x20,
    RVT_BTH_UC_SEND_MIDDLE = 0x21,
    RVT_BTH_UC_SEND_LAST = 0x22,
    RVT_BTH_UC_SEND_LAST_WITH_IMM = 0x23,
    RVT_BTH_UC_SEND_ONLY = 0x24,
    RVT_BTH_UC_SEND_ONLY_WITH_IMM = 0x25,
    RVT_BTH_UC_WRITE_FIRST = 0x26,
    RVT_BTH_UC_WRITE_MIDDLE = 0x27,
    RVT_BTH_UC_WRITE_LAST = 0x28,
    RVT_BTH_UC_WRITE_LAST_WITH_IMM = 0x29,
    RVT_BTH_UC_WRITE_ONLY = 0x2a,
    RVT_BTH_UC_WRITE_ONLY_WITH_IMM = 0x2b,
    RVT_BTH_UD_SEND_ONLY = 0x64,
    RVT_BTH_UD_SEND_ONLY_WITH_IMM = 0x65,
    RVT_BTH_CNP = 0x81, /* congestion notification packet */
};

/* ts: CmAttribute, RVT_CM_ATTRIBUTE_ */
/* Messages of the connection manager: attribute ids of its management datagrams. */
enum rvt_cm_attribute {
    RVT_CM_ATTRIBUTE_REQ = 0x10,
    RVT_CM_ATTRIBUTE_MRA = 0x11,
    RVT_CM_ATTRIBUTE_REJ = 0x12,
    RVT_CM_ATTRIBUTE_REP = 0x13,
    RVT_CM_ATTRIBUTE_RTU = 0x14,
    RVT_CM_ATTRIBUTE_DREQ = 0x15,
    RVT_CM_ATTRIBUTE_DREP = 0x16,
    RVT_CM_ATTRIBUTE_SIDR_REQ = 0x17,
    RVT_CM_ATTRIBUTE_SIDR_REP = 0x18,
    RVT_CM_ATTRIBUTE_LAP = 0x19,
    RVT_CM_ATTRIBUTE_APR = 0x1a,
};

/* ts: CmReject, RVT_CM_REJECT_ */
/* Reasons of a REJ that this package gives or looks at; the specification has more. */
enum rvt_cm_reject {
    RVT_CM_REJECT_NO_RESOURCES = 3,
    RVT_CM_REJECT_TIMEOUT = 4,
    RVT_CM_REJECT_UNSUPPORTED = 5,
    RVT_CM_REJECT_INVALID_ID = 6,
    RVT_CM_REJECT_INVALID_SERVICE = 8,
    RVT_CM_REJECT_INVALID_TRANSPORT = 9,
    RVT_CM_REJECT_STALE = 10,
    RVT_CM_REJECT_INVALID_GID = 12,
    RVT_CM_REJECT_INVALID_MTU = 26,
    RVT_CM_REJECT_PROGRAM = 28, /* by the program */
    RVT_CM_REJECT_DUPLICATE_ID = 30,
};

#endif
