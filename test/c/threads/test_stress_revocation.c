/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads copy in every way while other threads take the memory back in every way.
 *
 * An ender registers memory, announces it to its copier, and takes it back during the copies. Once the verb
 * has returned, the memory belongs to the ender, which overwrites it with a pattern, using plain stores.
 * After the copier's last call the ender counts the bytes that are not of the pattern (late writes), and the
 * copier counts the bytes of the pattern that it copied (late reads). Both must be 0, and ThreadSanitizer
 * sees the race as well.
 *
 * Each pair has its own memory, so copies do not race with other pairs. */
#include "core/access/batch.h"
#include "ends.h"
#include "stress.h"

enum { PAIRS = 3, LENGTH = 3 * RVT_SECTION_BYTES + PAGE, SGE = 16, WORD = 8 };
enum { FIRST_PATTERN = 0x11, COPIED_PATTERN = 0x22, OWN_PATTERN = 0xee };
static const uint64_t OWN_WORD = UINT64_C(0xeeeeeeeeeeeeeeee), COPIED_WORD = UINT64_C(0x2222222222222222);

enum way { COPY_IN, ORDERED, COPY_OUT, ADD, SWAP, GATHER, SCATTER, FROM_LIST, TO_LIST, WAYS };

struct pair {
    struct worker copier, ender;
    struct victim v;
    unsigned char *data, *buffer; /* LENGTH bytes each; the buffer belongs to the copier */
    struct rvt_mr_handle buffer_mr;
    struct rvt_pd_handle buffer_pd;
    struct fixture steady; /* another device, which has the buffer as a region */
    uint32_t steady_key;
    _Atomic(uint64_t) round, done,
        /* The current round; the last round the copier finished; its calls in this round. */
        calls;
    atomic_bool over, finished; /* the round is over; all rounds are over */
    uint64_t rounds, copies, cut, late_written, late_read;
};

static struct pair pairs[PAIRS];
static struct rvt_dev_info *one_device; /* NULL: each round opens its own device */

/* --- the copier --- */

static uint64_t count_of(const unsigned char *data, uint64_t length, unsigned char byte) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < length; i++)
        count += data[i] == byte;
    return count;
}

static void note_copy(struct pair *p, uint64_t moved, uint64_t wanted) {
    p->copies += moved != 0;
    p->cut += moved != 0 && moved < wanted;
}

/* Copies or updates through a held SGE. */
static void use_element(struct pair *p, struct rvt_sge *sge, enum way way) {
    struct rvt_data_call call;
    struct rvt_sge_state ss;
    struct rvt_copied copied = {0};
    enum rvt_reason reason;
    uint64_t old = 0;
    rvt_data_call_begin(&call, p->copier.reader, NULL);
    switch (way) {
    case ADD:
        if (rvt_sge_fetch_add(&call, sge, 1, &old, &reason) == 0)
            p->late_read += old == OWN_WORD ? WORD : 0;
        return;
    case SWAP:
        if (rvt_sge_compare_swap(&call, sge, 0, 0, &old, &reason) == 0) {
            p->late_read += old == OWN_WORD ? WORD : 0;
            (void)rvt_sge_compare_swap(&call, sge, old, COPIED_WORD, &old, &reason);
        }
        return;
    default:
        CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1), 0);
        (void)(way == COPY_OUT ? rvt_copy_sge_out(&call, &ss, p->buffer, LENGTH, false, &copied)
                               : rvt_copy_sge(&call, &ss, p->buffer, LENGTH, false, way == ORDERED, &copied));
        note_copy(p, copied.bytes, LENGTH);
    }
}

/* Copies a list without references, as one large SGE or as many small ones. */
static void use_list(struct pair *p, enum way way, bool small, bool elsewhere) {
    enum { SMALL = PAGE / 2, COUNT = LENGTH / SMALL };
    unsigned char packed[COUNT * SGE], other_packed[COUNT * SGE];
    struct rvt_checker checker, other;
    struct rvt_data_call call;
    struct rvt_batch_result result, other_result;
    const bool writes = way == SCATTER || way == TO_LIST;
    const uint32_t each = small ? SMALL : LENGTH, count = LENGTH / each;
    const uint32_t buffer_key = elsewhere ? p->steady_key : rvt_mr_key(p->buffer_mr.mr);
    if (!rvt_checker_of_qp(p->v.a.qp, &checker) ||
        !rvt_checker_of_pd(elsewhere ? p->steady.pd : p->buffer_pd, &other))
        return;
    for (uint32_t i = 0; i < count; i++) {
        pack_sge(packed + i * SGE, p->v.dma + (uint64_t)i * each, each, p->v.key);
        pack_sge(other_packed + i * SGE, (uint64_t)i * each, each, buffer_key);
    }
    const struct rvt_batch batch = {&checker, packed, count, writes ? REMOTE_WRITE : REMOTE_READ,
                                    NULL,     false},
                           list = {&other, other_packed, count, LOCAL_WRITE, NULL, false};
    rvt_data_call_begin(&call, p->copier.reader, NULL);
    int answer = way == GATHER      ? rvt_gather_batch(&call, &batch, p->buffer, LENGTH, &result)
                 : way == SCATTER   ? rvt_scatter_batch(&call, &batch, p->buffer, LENGTH, &result)
                 : way == FROM_LIST ? rvt_copy_batch(&call, &batch, &list, &result, &other_result)
                                    : rvt_copy_batch(&call, &list, &batch, &other_result, &result);
    CHECK_EQ(answer, 0);
    note_copy(p, result.bytes, LENGTH);
}

static bool is_write(enum way way) {
    return way == COPY_IN || way == ORDERED || way == SCATTER || way == TO_LIST;
}

/* One round: copies until the ender ends the round. */
static void copy_until_over(struct pair *p) {
    struct worker *w = &p->copier;
    const enum end end = p->v.end;
    const enum way way =
        (enum way)(ends_the_key_alone(end) ? GATHER + roll(&w->seed, WAYS - GATHER) : roll(&w->seed, WAYS));
    const bool atomic = way == ADD || way == SWAP, small = roll(&w->seed, 2), elsewhere = roll(&w->seed, 2);
    /* Hold the SGE over the whole round, or put it after each copy; then the ender can get its turn in
     * between. */
    const bool keeps = ends[end].held_answer == 0 && roll(&w->seed, 2);
    struct rvt_sge sge = {0};
    do {
        enum rvt_reason reason;
        memset(p->buffer, is_write(way) ? COPIED_PATTERN : 0, LENGTH);
        if (way >= GATHER) {
            use_list(p, way, small, elsewhere);
        } else if (sge.mr ||
                   check_remote(w, p->v.a.qp, &sge, p->v.dma, atomic ? WORD : LENGTH, p->v.key,
                                REMOTE_READ | REMOTE_WRITE | (atomic ? REMOTE_ATOMIC : 0), &reason) == 1) {
            use_element(p, &sge, way);
            if (!keeps)
                rvt_put_sge(&sge);
        }
        if (!is_write(way))
            p->late_read += count_of(p->buffer, LENGTH, OWN_PATTERN);
        atomic_fetch_add_explicit(&p->calls, 1, memory_order_release);
    } while (!atomic_load_explicit(&p->over, memory_order_acquire));
    rvt_put_sge(&sge);
}

static void copy(struct worker *w) {
    struct pair *p = (struct pair *)(void *)((char *)w - offsetof(struct pair, copier));
    REQUIRE(fixture_open(&p->steady, 4));
    p->steady_key = fixture_key(fixture_reg(&p->steady, p->buffer, LENGTH, 0, 0, ALL_ACCESS));
    for (uint64_t round = 1;; round++) {
        while (atomic_load_explicit(&p->round, memory_order_acquire) != round && !atomic_load(&p->finished))
            rvt_yield();
        if (atomic_load_explicit(&p->round, memory_order_acquire) != round)
            break;
        copy_until_over(p);
        atomic_store_explicit(&p->done, round, memory_order_release);
    }
    fixture_close_one(&p->steady);
}

/* --- the ender --- */

static void take_back_once(struct pair *p, uint64_t round) {
    struct worker *w = &p->ender;
    const enum end end = (enum end)roll(&w->seed, one_device ? CLOSE : ENDS);
    REQUIRE(open_victim(&p->v, end, one_device, p->data, LENGTH, (uint64_t)(w->index + 1) << 32));
    /* The copier checks through these contexts, but this thread deallocates them. */
    p->v.a.context->reader = p->v.b.context->reader = NULL;
    /* The copier's own list is in a domain that the verb does not close (except rvt_mr_exit). */
    p->buffer_pd = end == END_CONTEXT || end == END_CONTEXT_OF_MAPPING ? p->v.a.pd : p->v.b.pd;
    p->buffer_mr = fixture_reg_in(p->buffer_pd, p->buffer, LENGTH, 0, 0, ALL_ACCESS);
    memset(p->data, FIRST_PATTERN, LENGTH);
    atomic_store(&p->calls, 0);
    atomic_store(&p->over, false);
    atomic_store_explicit(&p->round, round, memory_order_release);
    for (uint64_t calls = roll(&w->seed, 3); atomic_load_explicit(&p->calls, memory_order_acquire) < calls;)
        rvt_yield();
    for (uint64_t moment = roll(&w->seed, 3000); moment; moment--)
        rvt_pause();

    int answer;
    while ((answer = take_victim(&p->v)) == -RVT_EBUSY)
        rvt_yield();
    CHECK_EQ(answer, 0);
    memset(p->data, OWN_PATTERN, LENGTH); /* overwrite the memory at once */
    rvt_yield();
    atomic_store_explicit(&p->over, true, memory_order_release);
    while (atomic_load_explicit(&p->done, memory_order_acquire) != round)
        rvt_yield();
    const uint64_t late = LENGTH - count_of(p->data, LENGTH, OWN_PATTERN);
    if (late)
        printf("# %" PRIu64 " bytes were written after %s\n", late, ends[end].name);
    p->late_written += late;
    p->rounds++;
    fixture_leave(&p->v.b);
    fixture_leave(&p->v.a);
}

static void take_back(struct worker *w) {
    struct pair *p = (struct pair *)(void *)((char *)w - offsetof(struct pair, ender));
    for (uint64_t round = 1; going(); round++) {
        const uint64_t before = p->rounds;
        take_back_once(p, round);
        if (p->rounds == before)
            break; /* the failed check was already reported */
    }
    atomic_store(&p->finished, true);
}

static void run_pairs(unsigned milliseconds) {
    struct pair sum = {.rounds = 0};
    memset(pairs, 0, sizeof(pairs));
    atomic_store(&stop, false);
    for (unsigned i = 0; i < PAIRS; i++) {
        pairs[i].data = aligned_alloc(PAGE, LENGTH);
        pairs[i].buffer = aligned_alloc(PAGE, LENGTH);
        REQUIRE(pairs[i].data && pairs[i].buffer);
        pairs[i].copier = (struct worker){.run = copy, .seed = 2 * i, .index = i};
        pairs[i].ender = (struct worker){.run = take_back, .seed = 2 * i + 1, .index = i};
        REQUIRE(pthread_create(&pairs[i].copier.thread, NULL, work_as_reader, &pairs[i].copier) == 0);
        REQUIRE(pthread_create(&pairs[i].ender.thread, NULL, work, &pairs[i].ender) == 0);
    }
    nanosleep(&(struct timespec){milliseconds / 1000, (long)(milliseconds % 1000) * 1000000}, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < PAIRS; i++) {
        REQUIRE(pthread_join(pairs[i].ender.thread, NULL) == 0);
        REQUIRE(pthread_join(pairs[i].copier.thread, NULL) == 0);
        free(pairs[i].data);
        free(pairs[i].buffer);
        sum.rounds += pairs[i].rounds;
        sum.copies += pairs[i].copies;
        sum.cut += pairs[i].cut;
        sum.late_written += pairs[i].late_written;
        sum.late_read += pairs[i].late_read;
    }
    printf("# %" PRIu64 " rounds, %" PRIu64 " copies, %" PRIu64 " cut short; late bytes: %" PRIu64
           " written, %" PRIu64 " read\n",
           sum.rounds, sum.copies, sum.cut, sum.late_written, sum.late_read);
    CHECK(sum.rounds > 0 && sum.copies > 0); /* the pairs must have tested something */
    CHECK_EQ(sum.late_written, 0);
    CHECK_EQ(sum.late_read, 0);
}

static void no_byte_moves_after_a_verb_returned_on_one_device(void) {
    struct fixture keeper;
    REQUIRE(fixture_open_joined(&keeper, 8));
    one_device = keeper.device;
    run_pairs(2000);
    fixture_leave_last(&keeper, &keeper);
}

static void no_byte_moves_after_a_verb_returned_on_devices_that_close(void) {
    long live = rvt_test_alloc_live();
    one_device = NULL;
    run_pairs(2000);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(no_byte_moves_after_a_verb_returned_on_one_device),
           TEST(no_byte_moves_after_a_verb_returned_on_devices_that_close))
