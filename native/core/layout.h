/* SPDX-License-Identifier: BSD-3-Clause */
/* Every number that C and TypeScript must agree on, once. The core and the binding use these names;
 * scripts/generate-layout.mjs writes the same numbers to lib/internal/layout.ts, and a hash of all of them to
 * layout_hash.h. After a change here: npm run layout.
 *
 * The generator reads this file itself, without a compiler, and stops at anything that it does not know. It
 * knows comments and enums whose values are numbers. A comment "ts: Name, PREFIX_" before an enum makes it an
 * enum Name in TypeScript, whose members lose the prefix (the first one that fits, if there are several);
 * "ts: constants" makes each member a constant. Other comments go along. */
#ifndef RVT_LAYOUT_H
#define RVT_LAYOUT_H

/* --- what calls answer --- */

/* ts: constants */
/* Linux errno values. Calls answer them negated, on every platform. */
enum {
    RVT_EPERM = 1,
    RVT_EBADF = 9,
    RVT_ENOMEM = 12,
    RVT_EACCES = 13,
    RVT_EBUSY = 16,
    RVT_EXDEV = 18,
    RVT_ENODEV = 19,
    RVT_EINVAL = 22,
    RVT_EOPNOTSUPP = 95,
};

/* ts: constants */
enum {
    /* A call of the data path that answers neither a count of bytes nor an errno answers this number minus
     * the reason of the refusal. */
    RVT_REFUSED = -1000,
};

/* ts: Reason, RVT_REASON_ RVT_ */
/* Why an access was refused. The first group judges names (a check), in this order: the first test that fails
 * gives the reason. The second group judges bytes (the data path), when an SGE that was accepted is used. A
 * number never changes its meaning. */
enum rvt_reason {
    RVT_REASON_NONE = 0,     /* not refused */
    RVT_KEY_ZERO_DENIED = 1, /* key 0 from a user domain, or from a peer while the device forbids it */
    RVT_NO_DMA_REGION = 2,   /* key 0, but no DMA region is published */
    RVT_NO_SUCH_KEY = 3,     /* the slot is empty */
    RVT_REVOKED = 4,         /* the slot is empty and last held exactly this key */
    RVT_STALE_KEY = 5,       /* the slot lives under another key */
    RVT_INVALIDATED = 6,     /* rvt_invalidate_rkey came first */
    RVT_WRONG_PD = 7,
    RVT_OUT_OF_BOUNDS = 8,
    RVT_ACCESS_DENIED = 9,
    RVT_UNMAPPED = 10, /* inside the bounds, but no segment or DMA mapping lies there */

    RVT_MEMORY_DETACHED = 11,   /* the owner's buffer was transferred or replaced */
    RVT_MEMORY_SHRUNK = 12,     /* the owner's buffer no longer holds all registered bytes */
    RVT_REMAPPED = 13,          /* the SGE was proven under an older mapping */
    RVT_REGION_REVOKED = 14,    /* the region was ended by force, or its parent closed */
    RVT_OTHER_ENVIRONMENT = 15, /* the bytes can only be used where they were registered */

    /* The domain or queue pair that asks is closed, or its device is. Told before all others: without an asker
     * nothing is judged. */
    RVT_CLOSED = 16,
    RVT_REASON_COUNT = 17,
};

/* ts: Cause, RVT_CAUSE_ */
/* Why a verb failed: struct rvt_failure. What the numbers VALUE, LIMIT and INDEX of each mean stands behind it;
 * "counts": of objects by kind. A number never changes its meaning. */
enum rvt_cause {
    RVT_CAUSE_NONE = 0,

    /* EBADF */
    RVT_CAUSE_DEVICE_CLOSED = 1,
    RVT_CAUSE_DETACHED = 2, /* the context has ended */
    RVT_CAUSE_PD_GONE = 3,
    RVT_CAUSE_QP_GONE = 4,
    RVT_CAUSE_REGION_GONE = 5, /* index: in the list, where there is one */
    RVT_CAUSE_MAPPING_GONE = 6,
    RVT_CAUSE_MEMORY_FREED = 7, /* device memory */
    RVT_CAUSE_ELEMENT_PUT = 8,  /* index: in the list, where there is one */

    /* ENOMEM */
    RVT_CAUSE_NO_MEMORY = 20,
    RVT_CAUSE_TABLE_FULL = 21, /* value: slots in use; limit: slots */
    RVT_CAUSE_NO_RANDOM_NUMBERS = 22,
    RVT_CAUSE_HELD_TOO_OFTEN = 23,   /* limit: references that can be counted */
    RVT_CAUSE_NOTHING_FITS = 24,     /* value: pages of the first element; limit: of the region */
    RVT_CAUSE_NO_DEVICE_MEMORY = 25, /* value: bytes asked for */

    /* EBUSY */
    RVT_CAUSE_PD_IN_USE = 40,      /* counts: in the domain */
    RVT_CAUSE_DEVICE_IN_USE = 41,  /* counts: on the device */
    RVT_CAUSE_CONTEXT_IN_USE = 42, /* counts: of the context */
    RVT_CAUSE_REGION_HELD = 43,    /* value: elements. It is half-dead now */
    RVT_CAUSE_REGIONS_HELD = 44,   /* value: elements; limit: regions that they hold; index: of the first */
    RVT_CAUSE_FMR_HELD = 45,       /* value: elements. Nothing has changed */
    RVT_CAUSE_HALF_DEAD = 46,      /* value: elements; index: in the list, where there is one. Also EINVAL */
    RVT_CAUSE_MAPPING_IN_USE = 47, /* value: elements of key 0; counts: regions */
    RVT_CAUSE_MEMORY_IN_USE = 48,  /* value: uses that have just ended; counts: regions, mappings */
    RVT_CAUSE_BATCH_HELD = 49,     /* index */

    /* EPERM, ENODEV, EXDEV, EOPNOTSUPP */
    RVT_CAUSE_USER_PD = 60,
    RVT_CAUSE_UNKNOWN_TOKEN = 61,
    RVT_CAUSE_FOREIGN_TOKEN = 62,
    RVT_CAUSE_NO_EXTERNAL_BUFFERS = 63, /* the runtime allows none */
    RVT_CAUSE_RESTRICTED = 64,          /* the context was given one domain only */
    RVT_CAUSE_RESTRICTED_DMA = 65,      /* it names DMA memory, and that domain is not trusted */

    /* EACCES */
    RVT_CAUSE_REGION_IN_OTHER_PD = 70,
    RVT_CAUSE_RIGHT_NOT_PROVEN = 71, /* value: rights proven; limit: needed, any; index: among those left */
    RVT_CAUSE_BYTES_UNUSABLE = 72,   /* value: bytes moved; limit: asked for */

    /* EINVAL */
    RVT_CAUSE_TABLE_BITS = 100,   /* value */
    RVT_CAUSE_OBJECT_KIND = 101,  /* of an extension; value: its number */
    RVT_CAUSE_RELEASE_HOOK = 102, /* of an extension; value: number of the kind that it watches */
    RVT_CAUSE_EMPTY_MEMORY = 103,
    RVT_CAUSE_START_TOO_HIGH = 104,     /* value; limit: the highest that fits */
    RVT_CAUSE_IOVA_TOO_HIGH = 105,      /* value; limit: likewise */
    RVT_CAUSE_TOO_MANY_PAGES = 106,     /* value; limit */
    RVT_CAUSE_ADDRESSES_USED_UP = 107,  /* value: bytes to find room for */
    RVT_CAUSE_MR_TYPE = 108,            /* value: enum rvt_mr_type */
    RVT_CAUSE_MAX_NUM_SG = 109,         /* value; limit */
    RVT_CAUSE_MAX_PAGES = 110,          /* value, signed; limit */
    RVT_CAUSE_PAGE_SHIFT = 111,         /* value; limit */
    RVT_CAUSE_REGION_KIND = 112,        /* value: enum rvt_mr_kind; index: in the list, where there is one */
    RVT_CAUSE_LISTED_NO_REGION = 113,   /* index */
    RVT_CAUSE_LISTED_IN_OTHER_PD = 114, /* index */
    RVT_CAUSE_LISTED_ON_OTHER_DEVICE = 115, /* index */
    RVT_CAUSE_REGION_ON_OTHER_DEVICE = 116,
    RVT_CAUSE_PAGE_SIZE = 117, /* value; limit: the one there is */
    RVT_CAUSE_EMPTY_LIST = 118,
    RVT_CAUSE_LIST_TOO_LONG = 119,         /* value; limit */
    RVT_CAUSE_OFFSET_OUTSIDE = 120,        /* value; limit: bytes of the first element */
    RVT_CAUSE_SG_ELEMENT_EMPTY = 121,      /* index; value: address */
    RVT_CAUSE_SG_ELEMENT_UNMAPPED = 122,   /* index; value: address */
    RVT_CAUSE_SG_ELEMENT_ACROSS_END = 123, /* index; value: address; limit: bytes up to the end */
    RVT_CAUSE_SG_END_TOO_HIGH = 124,       /* value: address of the first byte; limit: the highest */
    RVT_CAUSE_KEY_SLOT = 125,              /* value: key; limit: the region's key */
    RVT_CAUSE_KEY_ZERO = 126,
    RVT_CAUSE_UNKNOWN_KEY = 127,           /* value */
    RVT_CAUSE_KEY_IN_OTHER_PD = 128,       /* value */
    RVT_CAUSE_PAGE_COUNT = 129,            /* value; limit */
    RVT_CAUSE_MAPPED_LENGTH = 130,         /* value: bytes; limit */
    RVT_CAUSE_PAGE_UNMAPPED = 131,         /* index; value: address */
    RVT_CAUSE_PAGE_ACROSS_END = 132,       /* index; value: address; limit: bytes up to the end */
    RVT_CAUSE_DMA_ADDRESS_UNALIGNED = 133, /* value; limit: what it must be a multiple of */
    RVT_CAUSE_DMA_ADDRESS_TOO_HIGH = 134,  /* value; limit: the highest that fits */
    RVT_CAUSE_DMA_RANGE_TAKEN = 135,       /* value; limit: address of the first mapping in the way */
    RVT_CAUSE_DMA_ADDRESSES_USED_UP = 136, /* value: bytes to find room for */
    RVT_CAUSE_NO_BYTES = 137,
    RVT_CAUSE_UNKNOWN_PD = 138,        /* value: serial number */
    RVT_CAUSE_UNKNOWN_MEMORY = 139,    /* value: serial number */
    RVT_CAUSE_MORE_THAN_LEFT = 140,    /* value: bytes; limit: left in all elements */
    RVT_CAUSE_MORE_THAN_ELEMENT = 141, /* value: bytes; limit: left in the current element */
    RVT_CAUSE_ELEMENT_TWICE = 142,     /* index: of the second */
    RVT_CAUSE_ELEMENT_COUNT = 143,     /* value; limit */
    RVT_CAUSE_WORD_LENGTH = 144,       /* value; limit */
    RVT_CAUSE_WORD_ADDRESS = 145,      /* value; limit: what it must be a multiple of */
    RVT_CAUSE_WORD_MEMORY = 146,       /* limit: as above, of the memory itself, or bytes in one piece */
    RVT_CAUSE_ELEMENT_ON_OTHER_DEVICE = 147,
    RVT_CAUSE_PD_ON_OTHER_DEVICE = 149,
    RVT_CAUSE_ARGUMENT = 148, /* the binding cannot use it; lib has judged it before */
};

/* ts: FailureNumber, RVT_FAILURE_ */
/* What is kept of the last failure of a thread (struct rvt_failure), by index. */
enum rvt_failure_number {
    RVT_FAILURE_ERROR = 0, /* the errno, positive; 0: nothing is kept */
    RVT_FAILURE_CAUSE = 1, /* enum rvt_cause; the others' meaning goes by it */
    RVT_FAILURE_VALUE = 2,
    RVT_FAILURE_LIMIT = 3,
    RVT_FAILURE_INDEX = 4,
    RVT_FAILURE_COUNTS = 5,   /* one for each kind of objects, by its number */
    RVT_FAILURE_NUMBERS = 21, /* with as many kinds as there can be */
};

/* --- what calls are given --- */

/* ts: AccessBit, RVT_ACCESS_ */
/* Access bits, the field's own (IB_ACCESS_*). */
enum {
    RVT_ACCESS_LOCAL_WRITE = 1,
    RVT_ACCESS_REMOTE_WRITE = 2,
    RVT_ACCESS_REMOTE_READ = 4,
    RVT_ACCESS_REMOTE_ATOMIC = 8,
    RVT_ACCESS_MW_BIND = 16,
};

/* ts: RegionKind, RVT_MR_ */
enum rvt_mr_kind {
    RVT_MR_USER = 0,
    RVT_MR_DMA = 1,
    RVT_MR_MEM_REG = 2,
    RVT_MR_FMR = 3,
};

/* ts: MrTypeNumber, RVT_MR_TYPE_ */
/* The types that rvt_alloc_mr is asked for (enum ib_mr_type). There is only RVT_MR_TYPE_MEM_REG. */
enum rvt_mr_type {
    RVT_MR_TYPE_MEM_REG = 0,
    RVT_MR_TYPE_SG_GAPS = 1,
    RVT_MR_TYPE_DM = 2,
    RVT_MR_TYPE_USER = 3,
    RVT_MR_TYPE_DMA = 4,
    RVT_MR_TYPE_INTEGRITY = 5,
};

/* ts: ReleaseMode, RVT_RELEASE_ RVT_ */
/* How rvt_dereg_mr, rvt_dealloc_fmr and rvt_dereg_mrs end a region. */
enum rvt_release_mode {
    RVT_RELEASE = 0,       /* what dereg_mr and dealloc_fmr do: -EBUSY while held, may be called again */
    RVT_RELEASE_AWAIT = 1, /* the same; while it is held, each put wakes the context that made it */
    RVT_RELEASE_FORCE = 2, /* revoke and end it now; held SGEs are dead (RegionRevoked). Always 0 */
};

/* ts: constants */
enum {
    /* The page of DMA memory and of rvt_map_mr_sg, in bytes, and its log2. */
    RVT_PAGE_SIZE = 4096,
    RVT_PAGE_SHIFT = 12,
    /* The reference, and so the trace format, names a segment by two numbers: m * RVT_SEGSZ + n. */
    RVT_SEGSZ = 256,
    /* The bits of a key that the consumer may change in rvt_fast_reg_mr. */
    RVT_KEY_VARIANT_MASK = 0xff,
    /* The most elements of a walk. */
    RVT_MAX_SGE = 255,
    /* The most elements of a scatter-gather list. */
    RVT_MAX_SG_ELEMENTS = 0x7fffffff,
    /* A device's token: which copy of the core, then the random bytes. */
    RVT_CORE_ID_BYTES = 8,
    RVT_TOKEN_BYTES = 16,
};

/* --- arrays of 64-bit numbers, by index --- */

/* ts: SgElementField, RVT_SG_ELEMENT_ */
/* An element of the list that rvt_map_mr_sg is given (struct rvt_sg_element). */
enum rvt_sg_element_field {
    RVT_SG_ELEMENT_ADDRESS = 0, /* DMA address */
    RVT_SG_ELEMENT_LENGTH = 1,
    RVT_SG_ELEMENT_COUNT = 2,
};

/* ts: SgOutcomeField, RVT_SG_OUTCOME_ */
/* What rvt_map_mr_sg tells (struct rvt_sg_outcome). */
enum rvt_sg_outcome_field {
    RVT_SG_OUTCOME_IOVA = 0,
    RVT_SG_OUTCOME_LENGTH = 1,
    RVT_SG_OUTCOME_COUNT = 2,
};

/* ts: RegionField, RVT_REGION_FIELD_ */
/* What a region says of itself (struct rvt_mr_attributes). */
enum rvt_region_field {
    RVT_REGION_FIELD_ID = 0, /* never given twice on a device */
    RVT_REGION_FIELD_LKEY = 1,
    RVT_REGION_FIELD_KIND = 2, /* enum rvt_mr_kind */
    RVT_REGION_FIELD_ACCESS = 3,
    RVT_REGION_FIELD_REFS = 4,
    RVT_REGION_FIELD_START = 5,
    RVT_REGION_FIELD_IOVA = 6,
    RVT_REGION_FIELD_LENGTH = 7,
    RVT_REGION_FIELD_SEGMENTS = 8,
    RVT_REGION_FIELD_MAX_SEGMENTS = 9,
    RVT_REGION_FIELD_VALID = 10,
    RVT_REGION_FIELD_HALF_DEAD = 11,
    RVT_REGION_FIELD_COUNTED = 12, /* 1: the next three are counted; else they are 0 */
    RVT_REGION_FIELD_ACCEPTED = 13,
    RVT_REGION_FIELD_REFUSED = 14,
    RVT_REGION_FIELD_BYTES = 15,
    RVT_REGION_FIELD_COUNT = 16,
};

/* ts: RegionPlaceField, RVT_PLACE_OF_MR_ */
/* Where a region's bytes are, and what a peer would ask for them by (struct rvt_mr_place). */
enum rvt_region_place_field {
    RVT_PLACE_OF_MR_PD = 0,          /* serial of its domain */
    RVT_PLACE_OF_MR_MEMORY_KIND = 1, /* enum rvt_memory_kind */
    RVT_PLACE_OF_MR_BUFFER = 2,      /* which buffer, and the first byte there */
    RVT_PLACE_OF_MR_OFFSET = 3,
    RVT_PLACE_OF_MR_LENGTH = 4, /* bytes mapped */
    RVT_PLACE_OF_MR_ACCESS = 5,
    RVT_PLACE_OF_MR_REMOTE_ADDRESS = 6, /* of its first byte, as remote checks compare it */
    RVT_PLACE_OF_MR_KEY = 7,
    RVT_PLACE_OF_MR_KIND = 8,  /* enum rvt_mr_kind */
    RVT_PLACE_OF_MR_WORKS = 9, /* 1: its key works */
    RVT_PLACE_OF_MR_COUNT = 10,
};

/* ts: ViewField, RVT_VIEW_ */
/* Where a view's bytes are. */
enum rvt_view_field {
    RVT_VIEW_BUFFER = 0, /* which buffer; 0: nothing is registered or mapped of it */
    RVT_VIEW_OFFSET = 1,
    RVT_VIEW_LENGTH = 2,
};

/* ts: SgeField, RVT_SGE_FIELD_ */
/* What an accepted element says of itself (struct rvt_sge). */
enum rvt_sge_field {
    RVT_SGE_FIELD_REGION = 0,     /* the region's id */
    RVT_SGE_FIELD_AT = 1,         /* byte of the user's buffer, or DMA address */
    RVT_SGE_FIELD_LENGTH = 2,     /* bytes left in the segment */
    RVT_SGE_FIELD_SGE_LENGTH = 3, /* bytes of the element */
    RVT_SGE_FIELD_SEGMENT = 4,    /* index of the segment: the reference's m * RVT_SEGSZ + n */
    RVT_SGE_FIELD_USER = 5,       /* 1: AT is a byte of the user's buffer */
    RVT_SGE_FIELD_RIGHTS = 6,     /* access bits that were proven */
    RVT_SGE_FIELD_REMOTE = 7,     /* 1: proven by a remote check */
    RVT_SGE_FIELD_REQUEST = 8,    /* the address that was asked for */
    RVT_SGE_FIELD_INDEX = 9,      /* the region's place in its pool */
    RVT_SGE_FIELD_COUNT = 10,
};

/* ts: PlaceField, RVT_PLACE_ */
/* What a check without a reference tells of an accepted access (struct rvt_place). */
enum rvt_place_field {
    RVT_PLACE_AT = 0,
    RVT_PLACE_LENGTH = 1,
    RVT_PLACE_SEGMENT = 2,
    RVT_PLACE_COUNT = 3,
};

/* ts: FragmentField, RVT_FRAGMENT_ */
/* A fragment of a walk (struct rvt_fragment). */
enum rvt_fragment_field {
    RVT_FRAGMENT_STEP = 0,   /* index of the step that it belongs to */
    RVT_FRAGMENT_REGION = 1, /* the region's id */
    RVT_FRAGMENT_AT = 2,     /* byte of the user's buffer, or DMA address: by the kind of the region */
    RVT_FRAGMENT_LENGTH = 3,
    RVT_FRAGMENT_INDEX = 4, /* the region's place in its pool */
    RVT_FRAGMENT_COUNT = 5,
};

/* ts: CounterField, RVT_COUNTER_ */
/* What is counted (struct rvt_counts). */
enum rvt_counter_field {
    RVT_COUNTER_ACCEPTED = 0,
    RVT_COUNTER_BYTES = 1,
    RVT_COUNTER_REFUSED = 2, /* one number for each reason, from RVT_REASON_NONE on */
};

/* ts: KeyTableField, RVT_TABLE_ */
/* An occupied slot of the key table (struct rvt_table_row), as doubles. */
enum rvt_table_field {
    RVT_TABLE_INDEX = 0,
    RVT_TABLE_LKEY = 1,
    RVT_TABLE_REGION = 2,       /* the region's id */
    RVT_TABLE_REGION_INDEX = 3, /* and its place in its pool */
    RVT_TABLE_COUNT = 4,
};

/* --- what lives on a device: rows of 64-bit numbers, by kind --- */

/* ts: MemoryKind, RVT_MEMORY_KIND_ */
/* Whose bytes a region or a DMA mapping has. */
enum rvt_memory_kind {
    RVT_MEMORY_KIND_NONE = 0,  /* nobody's: a region that maps DMA addresses, or all of them, or nothing */
    RVT_MEMORY_KIND_OTHER = 1, /* of an owner that does not tell */
    RVT_MEMORY_KIND_ARRAY_BUFFER = 2,
    RVT_MEMORY_KIND_SHARED = 3, /* a SharedArrayBuffer */
    RVT_MEMORY_KIND_DEVICE = 4,
};

/* ts: Detached, RVT_DETACHED_ */
/* Whether a buffer was taken away from what was registered of it. */
enum rvt_detached {
    RVT_DETACHED_NO = 0,
    RVT_DETACHED_YES = 1,
    RVT_DETACHED_UNKNOWN = 2, /* only the thread that it belongs to can tell */
};

/* ts: ResourceKind, RVT_RESOURCE_ */
enum rvt_resource_kind {
    RVT_RESOURCE_CONTEXT = 0,
    RVT_RESOURCE_PD = 1,
    RVT_RESOURCE_QP = 2,
    RVT_RESOURCE_MR = 3,
    RVT_RESOURCE_DMA = 4,
    RVT_RESOURCE_MEMORY = 5,
    RVT_RESOURCE_KINDS = 6,
};

/* ts: ContextRow, RVT_CONTEXT_ */
enum rvt_context_row {
    RVT_CONTEXT_ID = 0,
    RVT_CONTEXT_FIELDS = 1,
};

/* ts: PdRow, RVT_PD_ */
enum rvt_pd_row {
    RVT_PD_SERIAL = 0,
    RVT_PD_CONTEXT = 1, /* id of the context that it belongs to; so in every row that has one */
    RVT_PD_USER = 2,
    RVT_PD_CHILDREN = 3,
    RVT_PD_FIELDS = 4,
};

/* ts: QpRow, RVT_QP_ */
enum rvt_qp_row {
    RVT_QP_SERIAL = 0,
    RVT_QP_CONTEXT = 1,
    RVT_QP_PD = 2, /* serial of its domain */
    RVT_QP_FIELDS = 3,
};

/* ts: RegionRow, RVT_MR_ */
enum rvt_mr_row {
    RVT_MR_ID = 0,
    RVT_MR_CONTEXT = 1,
    RVT_MR_PD = 2, /* serial of its domain */
    RVT_MR_KEY = 3,
    RVT_MR_KIND = 4, /* enum rvt_mr_kind */
    RVT_MR_ACCESS = 5,
    RVT_MR_REFS = 6,
    RVT_MR_START = 7,
    RVT_MR_IOVA = 8,
    RVT_MR_LENGTH = 9,
    RVT_MR_SEGMENTS = 10,
    RVT_MR_MAX_SEGMENTS = 11,
    RVT_MR_VALID = 12,
    RVT_MR_HALF_DEAD = 13,
    RVT_MR_INDEX = 14,       /* its place in its pool */
    RVT_MR_MEMORY_KIND = 15, /* enum rvt_memory_kind */
    RVT_MR_BUFFER = 16,      /* which buffer, unique in the process; 0 without one */
    RVT_MR_OFFSET = 17,      /* of its first byte in the buffer */
    RVT_MR_DETACHED = 18,    /* enum rvt_detached */
    RVT_MR_FIELDS = 19,
};

/* ts: DmaRow, RVT_DMA_ */
enum rvt_dma_row {
    RVT_DMA_SERIAL = 0,
    RVT_DMA_CONTEXT = 1,
    RVT_DMA_ADDRESS = 2,
    RVT_DMA_LENGTH = 3,
    RVT_DMA_USERS = 4,       /* page lists that name it, and key-0 elements held on it */
    RVT_DMA_MEMORY_KIND = 5, /* as in the row of a region */
    RVT_DMA_BUFFER = 6,
    RVT_DMA_OFFSET = 7,
    RVT_DMA_DETACHED = 8,
    RVT_DMA_FIELDS = 9,
};

/* ts: MemoryRow, RVT_MEMORY_ */
enum rvt_memory_row {
    RVT_MEMORY_SERIAL = 0,
    RVT_MEMORY_BYTES = 1,
    RVT_MEMORY_USES = 2, /* regions and DMA mappings that have bytes of it */
    RVT_MEMORY_HUGE = 3,
    RVT_MEMORY_BUFFER = 4, /* as in the row of a region */
    RVT_MEMORY_FIELDS = 5,
};

/* ts: HeldRow, RVT_HELD_ */
/* What this thread holds elements of: a row for each element in a cell, and one for each region that a batch
 * holds elements of. */
enum rvt_held_row {
    RVT_HELD_CELL = 0, /* of a single element, with its generation; 0: it is the row of a batch */
    RVT_HELD_GENERATION = 1,
    RVT_HELD_BATCH = 2,   /* number of the batch; 0 for a single element */
    RVT_HELD_COUNT = 3,   /* of elements */
    RVT_HELD_REGION = 4,  /* the region's id */
    RVT_HELD_ADDRESS = 5, /* a single element's: the address that was asked for, and the rights */
    RVT_HELD_LENGTH = 6,  /* bytes of all */
    RVT_HELD_ACCESS = 7,
    RVT_HELD_REMOTE = 8, /* 1: accepted by a remote check */
    RVT_HELD_FIELDS = 9,
};

/* --- what a device says about one access: rows of 64-bit numbers, for those who explain a refusal --- */

/* ts: SlotRow, RVT_SLOT_ */
/* What a slot of the key table holds now, or one region that a search has found. */
enum rvt_slot_row {
    RVT_SLOT_SEQUENCE = 0, /* moves with every change of what the slot's record says; 0 for key 0 */
    RVT_SLOT_KEY = 1,      /* that answers; of an empty slot the last one; 0: there never was one */
    RVT_SLOT_LIVE = 2,     /* 1: a region is in it, and the row of the region follows */
    RVT_SLOT_HIDDEN = 3,   /* 1: the asker may not be told of what is in it, or was last */
    RVT_SLOT_IOVA = 4,     /* what remote checks of the region compare with */
    RVT_SLOT_REGION = 5,   /* the region's row: enum rvt_mr_row */
    RVT_SLOT_FIELDS = 24,
};

/* ts: FoundRegion, RVT_FOUND_ */
/* What a search for regions that have an address finds, one of each kind. */
enum rvt_found_region {
    RVT_FOUND_OWN = 0,           /* in the asking domain, by the addresses that the check compares with */
    RVT_FOUND_OWN_OTHER_WAY = 1, /* the same by the others: local ones for a peer, remote ones for a domain */
    RVT_FOUND_OTHERS = 2,        /* in another domain */
    RVT_FOUND_OTHERS_OTHER_WAY = 3,
    RVT_FOUND_HALF_DEAD = 4, /* a half-dead region that had the key; whatever its addresses */
    RVT_FOUND_KINDS = 5,
};

/* ts: AskedRow, RVT_ASKED_ */
/* Who asks, and what else is known about the access. */
enum rvt_asked_row {
    RVT_ASKED_NOW = 0,             /* the verdict if it was judged now: 0, or the reason */
    RVT_ASKED_PD = 1,              /* serial of the asking domain */
    RVT_ASKED_USER = 2,            /* 1: that is a user's */
    RVT_ASKED_REMOTE_KEY_ZERO = 3, /* 1: the device was opened so */
    RVT_ASKED_DMA = 4,             /* how many DMA mappings of these two are told: */
    RVT_ASKED_DMA_ADDRESS = 5,     /* the one that holds the address, or else the next one behind it */
    RVT_ASKED_DMA_LENGTH = 6,
    RVT_ASKED_SEARCHED_ALL = 7, /* 1: the search has looked at every region */
    RVT_ASKED_FIELDS = 8,
};

/* ts: Explained, RVT_EXPLAINED_ */
/* Where these rows begin in the array that explainAccess fills. */
enum rvt_explained {
    RVT_EXPLAINED_ASKED = 0,
    RVT_EXPLAINED_SLOT = 8,     /* of the key */
    RVT_EXPLAINED_SWAPPED = 32, /* of the key with its bytes in the opposite order */
    RVT_EXPLAINED_FOUND = 56,   /* RVT_FOUND_KINDS rows */
    RVT_EXPLAINED_COUNT = 176,
};

/* --- batches and single checks: blocks of shared memory --- */

/* ts: constants */
enum {
    /* An element: struct ib_sge { u64 address, u32 length, u32 key }, in host order. */
    RVT_PACKED_SGE_BYTES = 16,
    /* The verdict of a coalesced element: accepted, as a part of the last accepted one. */
    RVT_BATCH_COALESCED = 256,
    /* The most elements of a batch. */
    RVT_BATCH_MAX_ELEMENTS = 0x1000000,
    /* A block begins with a header of so many bytes. The elements follow, then the columns. */
    RVT_BLOCK_HEADER_BYTES = 64,
};

/* ts: HeaderWord, RVT_HEADER_ */
/* The words of a block's header, by index. A call reads the first three and writes the others. */
enum rvt_header_word {
    RVT_HEADER_COUNT = 0,  /* in: how many elements */
    RVT_HEADER_ACCESS = 1, /* in: access bits */
    RVT_HEADER_FLAGS = 2,  /* in: HeaderFlag */
    RVT_HEADER_PASSED = 3,
    RVT_HEADER_FIRST_REFUSED = 4, /* index of the first refused element; the count if there is none */
    RVT_HEADER_REASON = 5,        /* of the first refused element */
    RVT_HEADER_STATUS = 6,        /* 0, or a negative errno */
};

/* ts: HeaderDouble, RVT_HEADER_DOUBLE_ */
/* What the header holds as doubles, by index. Behind the words above. */
enum rvt_header_double {
    RVT_HEADER_DOUBLE_BYTES_MOVED = 4, /* by a copy */
    /* Of a copy with RVT_HEADER_FLAG_ALL whose list was accepted as a whole: its bytes, and the bytes of the
     * buffer or the other list. Nothing has moved unless they fit. */
    RVT_HEADER_DOUBLE_LIST_BYTES = 5,
    RVT_HEADER_DOUBLE_OTHER_BYTES = 6,
};

/* ts: HeaderFlag, RVT_HEADER_FLAG_ */
enum rvt_header_flag {
    RVT_HEADER_FLAG_COALESCE = 1,
    RVT_HEADER_FLAG_ALL = 2, /* a copy judges the whole list before a byte moves */
};

/* ts: BlockColumn, RVT_BLOCK_ */
/* Where the elements and the columns begin behind the header: in bytes for each element that the batch has
 * room for. Without places the columns from REGIONS to SEGMENTS are left out, and VERDICTS begins where
 * REGIONS would. ACCESSES is there only if each element has an access of its own. */
enum rvt_block_column {
    RVT_BLOCK_ELEMENTS = 0,
    RVT_BLOCK_REGIONS = 16,   /* double: the region's id */
    RVT_BLOCK_POSITIONS = 24, /* u64: byte of the user's buffer, or DMA address */
    RVT_BLOCK_LENGTHS = 32,   /* u32: bytes left in the segment */
    RVT_BLOCK_SEGMENTS = 36,  /* u32: index of the segment */
    RVT_BLOCK_VERDICTS = 40,  /* u32: 0, RVT_BATCH_COALESCED, or the reason */
    RVT_BLOCK_ACCESSES = 44,  /* u32, in: access bits of the element */
    RVT_BLOCK_END = 48,
};

/* --- single calls: the command block --- */

/* ts: constants */
enum {
    /* The block of shared memory that calls of an environment read their numbers from, and answer in. */
    RVT_COMMAND_BYTES = 256,
};

/* ts: CommandWord, RVT_COMMAND_ */
/* Its 32-bit words, by index. A call reads only the words that its description names. 64-bit numbers take two
 * words, in host order, and begin at an even one. */
enum rvt_command_word {
    RVT_COMMAND_ANSWER = 0,  /* out: 0, a reason, RVT_BATCH_COALESCED, a count (mapSg), or a negative errno */
    RVT_COMMAND_CHECKER = 1, /* in: number of the domain or queue pair that asks, or that a region is in */
    RVT_COMMAND_ACCESS = 2,  /* in: access bits */
    RVT_COMMAND_FLAGS = 3,   /* in: CommandFlag */
    RVT_COMMAND_ADDRESS =
        4, /* in: the access asked for, a packed struct ib_sge; for an offset, its low word */
    RVT_COMMAND_LENGTH = 6,
    RVT_COMMAND_KEY = 7,
    RVT_COMMAND_CELL = 8, /* in: an element, by its cell and the cell's generation */
    RVT_COMMAND_CELL_GENERATION = 9,
    RVT_COMMAND_LAST_CELL = 10, /* in: the element that a new one may continue; 0: none */
    RVT_COMMAND_LAST_GENERATION = 11,
    RVT_COMMAND_MODE = 12,   /* in: enum rvt_release_mode */
    RVT_COMMAND_REGION = 13, /* in, out: a region, by its place in its pool and the generation there */
    RVT_COMMAND_REGION_GENERATION = 14, /* 64 bits */
    RVT_COMMAND_START = 16,             /* in, out: a region's addresses, 64 bits each */
    RVT_COMMAND_IOVA = 18,
    RVT_COMMAND_BYTES_MOVED = 20, /* out: by a copy */
    RVT_COMMAND_RESULT = 22,      /* out: what an atomic operation found, 64 bits */
    RVT_COMMAND_FIELDS = 24,      /* out: up to 16 numbers of 64 bits: RegionField, SgeField, ... */
    RVT_COMMAND_OPERAND = 56,     /* in: of an atomic operation, 64 bits each */
    RVT_COMMAND_COMPARE = 58,
    /* out, 64 bits: of a refused check, the sequence of the key's record (RVT_SLOT_SEQUENCE) */
    RVT_COMMAND_RECORD_SEQUENCE = 60,
};

/* ts: CommandFlag, RVT_COMMAND_FLAG_ */
enum rvt_command_flag {
    RVT_COMMAND_FLAG_START_GIVEN = 1, /* the region begins at START; else where there is room */
    RVT_COMMAND_FLAG_IOVA_GIVEN = 2,  /* its remote address is IOVA; else that of its start, or as it was */
    RVT_COMMAND_FLAG_ORDERED = 4,     /* the last 8 bytes of a copy singly, ascending, after the others */
};

/* ts: ElementNameWord, RVT_ELEMENT_NAME_ */
/* An element in a list of elements, as 32-bit words. */
enum rvt_element_name_word {
    RVT_ELEMENT_NAME_CELL = 0,
    RVT_ELEMENT_NAME_GENERATION = 1,
    RVT_ELEMENT_NAME_WORDS = 2,
};

/* ts: RegionNameWord, RVT_REGION_NAME_ */
/* A region in a list of regions, as 32-bit words. */
enum rvt_region_name_word {
    RVT_REGION_NAME_CHECKER = 0, /* number of the domain that it is in */
    RVT_REGION_NAME_INDEX = 1,
    RVT_REGION_NAME_GENERATION = 2, /* 64 bits, in host order */
    RVT_REGION_NAME_WORDS = 4,
};

#endif
