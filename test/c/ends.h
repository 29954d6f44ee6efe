/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verb that takes memory away from its users ("ends"): the objects each verb needs, the call itself,
 * its return value, and its effect on accesses in progress. */
#ifndef RVT_TEST_ENDS_H
#define RVT_TEST_ENDS_H

#include "core/objects/mw.h"
#include "core/objects/rereg.h"
#include "fixture.h"

enum end {
    DEREG,
    FORCE,
    DEREGS,
    REREG_MEMORY,
    REREG_ACCESS,
    DEALLOC_FMR,
    DEALLOC_PD,
    END_CONTEXT,
    INVALIDATE,
    FAST_REG,
    UNMAP_FMR,
    MAP_FMR_OVER,
    MAP_SG_OVER,
    END_CONTEXT_OF_MAPPING,
    DESTROY_QP,
    DMA_UNMAP,
    INVALIDATE_WINDOW,
    DEALLOC_WINDOW,
    REVOKE_LEASE,
    FORCE_UNDER_WINDOW,
    CLOSE, /* must be last, because it closes the device for all environments */
    ENDS
};

/* held_answer: what the verb returns while an SGE holds a reference. held_reason: what then stops a copy
 * through that SGE (RVT_REASON_NONE: the copy completes). list_reason: what stops the copy of an SGE list
 * (RVT_REASON_NONE: the checking domain or queue pair itself is closed, so the SGEs are refused with
 * RVT_CLOSED). */
static const struct {
    const char *name;
    int held_answer;
    enum rvt_reason held_reason, list_reason;
} ends[ENDS] = {
    [DEREG] = {"dereg", -RVT_EBUSY, RVT_REASON_NONE, RVT_REVOKED},
    [FORCE] = {"dereg by force", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [DEREGS] = {"dereg of a list", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [REREG_MEMORY] = {"rereg with other memory", -RVT_EBUSY, RVT_REASON_NONE, RVT_REVOKED},
    [REREG_ACCESS] = {"rereg with fewer rights", -RVT_EBUSY, RVT_REASON_NONE, RVT_ACCESS_DENIED},
    [DEALLOC_FMR] = {"dealloc_fmr by force", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [DEALLOC_PD] = {"dealloc_pd", 0, RVT_REGION_REVOKED, RVT_REASON_NONE},
    [END_CONTEXT] = {"dealloc_ucontext", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [INVALIDATE] = {"invalidate_rkey", 0, RVT_REASON_NONE, RVT_INVALIDATED},
    [FAST_REG] = {"fast_reg_mr", 0, RVT_REASON_NONE, RVT_STALE_KEY},
    [UNMAP_FMR] = {"unmap_fmr", 0, RVT_REMAPPED, RVT_OUT_OF_BOUNDS},
    [MAP_FMR_OVER] = {"map_phys_fmr", -RVT_EBUSY, RVT_REASON_NONE, RVT_OUT_OF_BOUNDS},
    [MAP_SG_OVER] = {"map_mr_sg", 0, RVT_REMAPPED, RVT_OUT_OF_BOUNDS},
    [END_CONTEXT_OF_MAPPING] = {"dealloc_ucontext of a mapping", 0, RVT_REMAPPED, RVT_OUT_OF_BOUNDS},
    [DESTROY_QP] = {"destroy_qp", 0, RVT_REASON_NONE, RVT_REASON_NONE},
    [DMA_UNMAP] = {"dma_unmap", -RVT_EBUSY, RVT_REASON_NONE, RVT_UNMAPPED},
    [INVALIDATE_WINDOW] = {"invalidate_rkey of a window", 0, RVT_WINDOW_ENDED, RVT_WINDOW_UNBOUND},
    [DEALLOC_WINDOW] = {"dealloc_mw", 0, RVT_WINDOW_ENDED, RVT_REVOKED},
    [REVOKE_LEASE] = {"dealloc_mw of a lease", 0, RVT_WINDOW_ENDED, RVT_REVOKED},
    [FORCE_UNDER_WINDOW] = {"dereg by force under a window", 0, RVT_REGION_REVOKED, RVT_WINDOW_UNBOUND},
    [CLOSE] = {"close", 0, RVT_REGION_REVOKED, RVT_REASON_NONE},
};

/* Returns whether the verb ends only the key. An SGE that was checked before stays usable. */
static inline bool ends_the_key_alone(enum end end) {
    return end == INVALIDATE || end == FAST_REG || end == DESTROY_QP;
}

enum { MOST_VICTIM_PAGES = 256 };

/* A registered buffer that one of these verbs takes away from its users. */
struct victim {
    enum end end;
    unsigned char *data; /* page-aligned */
    uint64_t length;
    uint64_t
        /* DMA address of `data`, and its iova in every region. spare_page is mapped one page beyond its
         * end. */
        dma;
    struct fixture a, b; /* Two environments on one device. Verbs that end a context end b's. */
    struct rvt_mr_handle mr;
    struct rvt_dma_handle mapping;
    uint32_t key;
    struct rvt_mw_handle mw;
};

static alignas(4096) unsigned char spare_page[PAGE];

static inline uint64_t spare_dma(const struct victim *v) {
    return v->dma + v->length + PAGE;
}

/* Returns whether the memory is reached by the key of a window. Such a key is only for peers. */
static inline bool has_window(enum end end) {
    return end == INVALIDATE_WINDOW || end == DEALLOC_WINDOW || end == REVOKE_LEASE ||
           end == FORCE_UNDER_WINDOW;
}

/* Binds a window, or makes a lease, over the whole region. Its key becomes v->key. */
static inline void open_window(struct victim *v) {
    struct rvt_bind bind = {.mr = v->mr,
                            .addr = v->dma,
                            .length = v->length,
                            .access =
                                RVT_ACCESS_REMOTE_READ | RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_ATOMIC};
    if (v->end == REVOKE_LEASE) {
        CHECK_EQ(rvt_lease_mr(v->a.context, &bind, NULL, UINT64_MAX, &v->mw, &v->key), 0);
        return;
    }
    CHECK_EQ(rvt_alloc_mw(v->a.pd, RVT_MW_TYPE_TWO, &v->mw, &v->key), 0);
    v->key = bind.key = v->key ^ 1;
    CHECK_EQ(rvt_bind_mw(v->a.qp, v->mw, &bind), 0);
}

/* Registers all of `data` with key v->key at iova v->dma, with all access rights, in the domain v->a.pd. Uses
 * `device`, or opens a new device if it is NULL. */
static inline bool open_victim(struct victim *v, enum end end, struct rvt_dev_info *device,
                               unsigned char *data, uint64_t length, uint64_t dma) {
    uint64_t pages[MOST_VICTIM_PAGES];
    struct rvt_sg_outcome outcome;
    struct rvt_pd_handle attached;
    const uint32_t count = (uint32_t)(length / PAGE);
    memset(v, 0, sizeof(*v));
    v->end = end;
    v->data = data;
    v->length = length;
    v->dma = dma;
    if (!(device ? fixture_join(&v->a, device) : fixture_open_joined(&v->a, 4)) ||
        !fixture_join(&v->b, v->a.device))
        return false;
    for (uint32_t i = 0; i < count; i++)
        pages[i] = dma + i * PAGE;
    v->mapping = fixture_dma(end == END_CONTEXT_OF_MAPPING ? &v->b : &v->a, data, length, dma);
    fixture_dma(&v->a, spare_page, PAGE, spare_dma(v));
    switch (end) {
    case DEALLOC_FMR:
    case UNMAP_FMR:
    case MAP_FMR_OVER:
    case END_CONTEXT_OF_MAPPING:
        v->mr = fixture_fmr(&v->a, ALL_ACCESS, count, 12);
        CHECK_EQ(rvt_map_phys_fmr(v->mr, pages, count, dma), 0);
        break;
    case FAST_REG:
    case MAP_SG_OVER:
        v->mr = fixture_mem_reg(&v->a, count);
        CHECK_EQ(rvt_map_mr_sg(v->mr, &(struct rvt_sg_element){dma, length}, 1, 0, PAGE, &outcome), 1);
        CHECK_EQ(rvt_fast_reg_mr(v->a.qp, v->mr, fixture_key(v->mr), ALL_ACCESS, NULL), 0);
        break;
    /* The access goes through key 0. If a DMA region already answers for key 0, this one has no effect. */
    case DMA_UNMAP:
        CHECK_EQ(rvt_get_dma_mr(v->a.pd, 0, &v->mr), 0);
        break;
    case END_CONTEXT:
        CHECK_EQ(rvt_attach_pd(v->b.context, rvt_pd_serial(v->a.pd), &attached), 0);
        v->mr = fixture_reg_in(attached, data, length, dma, dma, ALL_ACCESS);
        break;
    default:
        v->mr = fixture_reg(&v->a, data, length, dma, dma,
                            ALL_ACCESS | (has_window(end) ? RVT_ACCESS_MW_BIND : 0));
    }
    v->key = fixture_key(v->mr);
    if (has_window(end))
        open_window(v);
    return true;
}

/* Re-registers the victim's region: with spare_page at the same addresses, or with hardly any right. */
static inline int rereg_victim(struct victim *v) {
    struct rvt_rereg change = {.flags = RVT_REREG_ACCESS};
    bool lost;
    if (v->end == REREG_MEMORY)
        change = (struct rvt_rereg){
            .flags = RVT_REREG_TRANSLATION,
            .memory = rvt_fixed_memory(spare_page, PAGE),
            .start = &v->dma,
        };
    int error = rvt_rereg_mr(v->mr, &change, NULL, &lost);
    CHECK(!lost);
    if (change.memory)
        rvt_memory_put(change.memory);
    return error;
}

/* Calls the verb. Returns 0 on success. */
static inline int take_victim(struct victim *v) {
    struct rvt_sg_outcome outcome;
    const uint64_t elsewhere = spare_dma(v);
    int answer;
    switch (v->end) {
    case DEREG:
        return rvt_dereg_mr(v->mr, RVT_RELEASE);
    case FORCE:
    case FORCE_UNDER_WINDOW:
        return rvt_dereg_mr(v->mr, RVT_RELEASE_FORCE);
    case DEREGS:
        return rvt_dereg_mrs(v->a.pd, (struct rvt_mr_handle[]){v->mr, v->mr}, 2, RVT_RELEASE_FORCE);
    case REREG_MEMORY:
    case REREG_ACCESS:
        return rereg_victim(v);
    case DEALLOC_FMR:
        return rvt_dealloc_fmr(v->mr, RVT_RELEASE_FORCE);
    case DEALLOC_PD:
        return rvt_dealloc_pd(v->a.pd, true);
    case END_CONTEXT:
    case END_CONTEXT_OF_MAPPING:
        return rvt_dealloc_ucontext(v->b.context, true);
    case INVALIDATE:
    case INVALIDATE_WINDOW:
        return rvt_invalidate_rkey(v->a.qp, v->key);
    case DEALLOC_WINDOW:
    case REVOKE_LEASE:
        return rvt_dealloc_mw(v->mw);
    case FAST_REG:
        return rvt_fast_reg_mr(v->a.qp, v->mr, v->key ^ 1, ALL_ACCESS, NULL);
    case UNMAP_FMR:
        return rvt_unmap_fmr(&v->mr, 1);
    case MAP_FMR_OVER:
        return rvt_map_phys_fmr(v->mr, &elsewhere, 1, elsewhere);
    case MAP_SG_OVER:
        answer = rvt_map_mr_sg(v->mr, &(struct rvt_sg_element){elsewhere, PAGE}, 1, 0, PAGE, &outcome);
        return answer == 1 ? 0 : answer;
    case DESTROY_QP:
        return rvt_destroy_qp(v->a.qp);
    case DMA_UNMAP:
        return rvt_dma_unmap(v->mapping);
    default:
        return rvt_mr_exit(v->a.device, true, NULL);
    }
}

static inline void pack_sge(unsigned char *at, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(at, &addr, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &key, 4);
}

#endif
