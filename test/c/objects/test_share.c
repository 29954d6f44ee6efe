/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/share.h"

#include <pthread.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "fixture.h"

static void a_token_is_unknown_before_any_device_is_shared(void) {
    /* Must be the first test of the program, before this copy of the core has an id. */
    struct rvt_share_token token = {{0}, {0}};
    struct rvt_dev_info *found = NULL;
    CHECK_EQ(rvt_find_shared(&token, &found, NULL), -RVT_EXDEV);
    CHECK(found == NULL);
}

#ifdef __linux__
/* Replaces the C library's function with the system call. Call number `fail_at` fails; 0: none. */
static int fail_at;

int getentropy(void *buffer, size_t length) {
    if (fail_at && --fail_at == 0)
        return -1;
    return syscall(SYS_getrandom, buffer, length, 0) == (long)length ? 0 : -1;
}

static void sharing_fails_without_random_numbers(void) {
    struct fixture f;
    struct rvt_share_token token, untouched;
    struct rvt_dev_info *found = NULL;
    REQUIRE(fixture_open(&f, 4));
    memset(&token, 0x5a, sizeof(token));
    untouched = token;
    for (int call = 1; call <= 2; call++) { /* the first call makes the core's id, the second the token */
        fail_at = call;
        CHECK_EQ(rvt_share_device(f.device, &token), -RVT_ENOMEM);
        CHECK_EQ(fail_at, 0);
        CHECK_BYTES_EQ(&token, &untouched, sizeof(token));
        CHECK(!f.device->shared.listed);
        CHECK_EQ(rvt_find_shared(&token, &found, NULL), -RVT_EXDEV);
    }
    fail_at = 2; /* one call is enough now, because the core has its id */
    CHECK_EQ(rvt_share_device(f.device, &token), 0);
    fail_at = 1; /* sharing again needs no random number */
    struct rvt_share_token again;
    CHECK_EQ(rvt_share_device(f.device, &again), 0);
    CHECK_BYTES_EQ(&again, &token, sizeof(token));
    CHECK_EQ(fail_at, 1);
    fail_at = 0;
    CHECK_EQ(rvt_find_shared(&token, &found, NULL), 0);
    rvt_dev_put(found);
    fixture_close(&f);
}
#else
/* A function of the C library cannot be replaced on every system. */
static void sharing_fails_without_random_numbers(void) {}
#endif

static void a_device_has_the_same_token_each_time(void) {
    static const unsigned char nothing[RVT_TOKEN_BYTES] = {0};
    struct fixture f, g;
    struct rvt_share_token first, again, other;
    REQUIRE(fixture_open(&f, 4) && fixture_open(&g, 4));
    memset(&first, 0xee, sizeof(first));
    memset(&again, 0x11, sizeof(again));
    CHECK_EQ(rvt_share_device(f.device, &first), 0);
    CHECK_EQ(rvt_share_device(f.device, &again), 0);
    CHECK_BYTES_EQ(&again, &first, sizeof(first));
    CHECK(memcmp(first.bytes, nothing, sizeof(nothing)) != 0);
    CHECK_EQ(rvt_share_device(g.device, &other), 0);
    CHECK_BYTES_EQ(other.core, first.core, sizeof(first.core));
    CHECK(memcmp(other.bytes, first.bytes, sizeof(first.bytes)) != 0);
    CHECK_EQ(rvt_share_device(f.device, &again), 0); /* sharing another device does not change this token */
    CHECK_BYTES_EQ(&again, &first, sizeof(first));
    CHECK_EQ(sizeof(struct rvt_share_token), 24); /* the binding passes it on as 24 bytes */
    fixture_close_one(&g);
    fixture_close(&f);
}

static void finding_a_device_returns_a_reference(void) {
    struct fixture f[3];
    struct rvt_share_token token[3];
    struct rvt_dev_info *found = NULL;
    for (int i = 0; i < 3; i++) {
        REQUIRE(fixture_open(&f[i], 4));
        CHECK_EQ(rvt_share_device(f[i].device, &token[i]), 0);
    }
    for (int i = 0; i < 3; i++) { /* the devices are first, last and in the middle of the list of tokens */
        uint32_t references = atomic_load(&f[i].device->references);
        CHECK_EQ(rvt_find_shared(&token[i], &found, NULL), 0);
        CHECK_PTR_EQ(found, f[i].device);
        CHECK_EQ(atomic_load(&found->references), references + 1);
        rvt_dev_put(found);
    }
    /* Closed in an order that removes from the middle of the list first. */
    static const int order[] = {1, 0, 2};
    for (int k = 0; k < 3; k++) {
        struct fixture *closing = &f[order[k]];
        CHECK_EQ(rvt_find_shared(&token[order[k]], &found, NULL), 0);
        CHECK_EQ(rvt_mr_exit(closing->device, true, NULL), 0);
        for (int i = 0; i < 3; i++) {
            bool open = i != order[0] && (k < 1 || i != order[1]) && (k < 2 || i != order[2]);
            struct rvt_dev_info *one = NULL;
            CHECK_EQ(rvt_find_shared(&token[i], &one, NULL), open ? 0 : -RVT_ENODEV);
            if (one)
                rvt_dev_put(one);
        }
        CHECK(found->closed); /* the reference keeps the structure alive */
        CHECK_EQ(rvt_share_device(found, &token[order[k]]), -RVT_EBADF);
        rvt_dev_put(found);
        rvt_dev_put(closing->device);
        rvt_reader_unregister(closing->reader);
    }
    CHECK_EQ(rvt_test_alloc_live(), f[0].live);
}

static void a_token_that_differs_in_one_bit_is_unknown(void) {
    struct fixture f;
    struct rvt_share_token token, wrong;
    struct rvt_dev_info *found = NULL;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_share_device(f.device, &token), 0);
    for (unsigned byte = 0; byte < sizeof(token); byte++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            wrong = token;
            ((unsigned char *)&wrong)[byte] ^= (unsigned char)(1u << bit);
            CHECK_EQ(rvt_find_shared(&wrong, &found, NULL),
                     byte < RVT_CORE_ID_BYTES ? -RVT_EXDEV : -RVT_ENODEV);
        }
    }
    memset(wrong.bytes, 0, sizeof(wrong.bytes)); /* the token of a device that was never shared */
    CHECK_EQ(rvt_find_shared(&wrong, &found, NULL), -RVT_ENODEV);
    CHECK(found == NULL);
    fixture_close(&f);
}

static void a_closed_device_is_neither_shared_nor_found(void) {
    struct fixture f;
    struct rvt_share_token token, untouched;
    struct rvt_dev_info *found = NULL;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
    memset(&token, 0x5a, sizeof(token));
    untouched = token;
    CHECK_EQ(rvt_share_device(f.device, &token), -RVT_EBADF);
    CHECK_BYTES_EQ(&token, &untouched, sizeof(token));
    CHECK(!f.device->shared.listed);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);

    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_share_device(f.device, &token), 0);
    CHECK_EQ(rvt_mr_exit(f.device, false, NULL), -RVT_EBUSY); /* the device did not close */
    CHECK_EQ(rvt_find_shared(&token, &found, NULL), 0);
    rvt_dev_put(found);
    CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
    CHECK_EQ(rvt_find_shared(&token, &found, NULL), -RVT_ENODEV);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

/* --- the token of a domain --- */

static void a_token_of_a_domain_reaches_only_that_domain(void) {
    struct fixture a;
    struct rvt_share_token whole, token, again;
    struct rvt_dev_info *found = NULL;
    struct rvt_ucontext *guest;
    struct rvt_pd_handle pd, other;
    uint64_t only = 77;
    REQUIRE(fixture_open_joined(&a, 4));
    CHECK_EQ(rvt_alloc_pd(a.device, a.context, true, &other), 0);
    CHECK_EQ(rvt_share_by(a.context, NULL, &whole), 0);
    CHECK_EQ(rvt_share_by(a.context, &other, &token), 0);
    CHECK_EQ(rvt_share_by(a.context, &other, &again), 0);
    CHECK_BYTES_EQ(&again, &token, sizeof(token));
    CHECK(memcmp(whole.bytes, token.bytes, sizeof(token.bytes)) != 0);
    CHECK_EQ(rvt_find_shared(&whole, &found, &only), 0);
    CHECK_EQ(only, RVT_WHOLE_DEVICE);
    rvt_dev_put(found);
    CHECK_EQ(rvt_find_shared(&token, &found, &only), 0);
    CHECK_EQ(only, rvt_pd_serial(other));
    CHECK_EQ(rvt_alloc_ucontext_in(found, only, NULL, &guest), 0);

    struct rvt_device_memory *memory;
    struct rvt_table_head head;
    CHECK_EQ(rvt_attach_pd(guest, rvt_pd_serial(other), &pd), 0);
    CHECK_EQ(rvt_attach_pd(guest, rvt_pd_serial(a.pd), &pd), -RVT_EPERM);
    CHECK_EQ(rvt_attach_pd(guest, 1000, &pd), -RVT_EPERM);
    CHECK_EQ(rvt_attach_pd(guest, rvt_pd_serial(other), &pd), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, true), -RVT_EPERM);
    CHECK_EQ(rvt_share_by(guest, NULL, &again), -RVT_EPERM);
    CHECK_EQ(rvt_share_by(guest, &pd, &again), -RVT_EPERM);
    CHECK_EQ(rvt_mr_exit_by(guest, true, NULL), -RVT_EPERM);
    CHECK_EQ(rvt_table_report_to(guest, &head, NULL, NULL), -RVT_EPERM);
    CHECK_EQ(rvt_alloc_device_memory(found, guest, 8, false, &memory), -RVT_EPERM);
    CHECK_EQ(rvt_find_device_memory(found, guest, 1, &memory), -RVT_EPERM);
    struct rvt_pd_handle none;
    CHECK_EQ(rvt_alloc_pd(found, guest, true, &none), -RVT_EPERM);

    /* A guest finds its own regions by number, but no regions of others, in any domain. */
    struct rvt_mr_handle own, theirs;
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 1, &own), 0);
    CHECK_EQ(rvt_alloc_mr(other, RVT_MR_TYPE_MEM_REG, 1, &theirs), 0);
    CHECK_PTR_EQ(rvt_mr_find_by(guest, rvt_mr_index(own.mr), own.generation).mr, own.mr);
    CHECK(!rvt_mr_find_by(guest, rvt_mr_index(theirs.mr), theirs.generation).mr);
    CHECK_PTR_EQ(rvt_mr_find_by(a.context, rvt_mr_index(own.mr), own.generation).mr, own.mr);

    /* The token ends with the domain, even for a context that has already found it. */
    CHECK_EQ(rvt_dealloc_pd(other, true), 0);
    struct rvt_ucontext *late;
    CHECK_EQ(rvt_alloc_ucontext_in(found, only, NULL, &late), -RVT_ENODEV);
    rvt_dev_put(found);
    CHECK_EQ(rvt_find_shared(&token, &found, &only), -RVT_ENODEV);
    CHECK_EQ(rvt_share_by(a.context, &other, &again), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_ucontext(guest, true), 0);
    CHECK_EQ(rvt_share_by(guest, NULL, &again), -RVT_EBADF);
    rvt_free_ucontext(guest);
    fixture_leave_last(&a, &a);
}

/* --- threads that share, find, use and leave one device at the same time --- */

enum { THREADS = 4, ROUNDS = 150 };

static pthread_barrier_t barrier;
static struct rvt_dev_info *opened;
static struct rvt_share_token known;
static atomic_int came, missed;

static void *attach_and_leave(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        struct rvt_dev_info *device = NULL;
        int error = rvt_find_shared(&known, &device, NULL);
        if (error) {
            CHECK_EQ(error, -RVT_ENODEV);
            atomic_fetch_add(&missed, 1);
        } else {
            struct rvt_ucontext *context;
            struct rvt_share_token token;
            CHECK_PTR_EQ(device, opened);
            error = rvt_share_device(device, &token);
            CHECK(error == 0 || error == -RVT_EBADF);
            if (!error)
                CHECK_BYTES_EQ(&token, &known, sizeof(token));
            error = rvt_alloc_ucontext(device, NULL, &context);
            CHECK(error == 0 || error == -RVT_EBADF);
            if (!error) {
                struct rvt_pd_handle pd;
                error = rvt_alloc_pd(device, context, roll(&seed, 2), &pd);
                CHECK(error == 0 || error == -RVT_EBADF); /* another thread may close the device for all */
                if (roll(&seed, 8) == 0)
                    rvt_mr_exit(device, true, NULL);
                CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
                rvt_free_ucontext(context);
                atomic_fetch_add(&came, 1);
            }
            rvt_dev_put(device);
        }
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void threads_share_find_and_close(void) {
    long live = rvt_test_alloc_live();
    pthread_t threads[THREADS];
    REQUIRE(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, attach_and_leave, (void *)i) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct rvt_ucontext *context;
        REQUIRE(rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 2}, &opened) == 0);
        REQUIRE(rvt_alloc_ucontext(opened, NULL, &context) == 0);
        REQUIRE(rvt_share_device(opened, &known) == 0);
        pthread_barrier_wait(&barrier);
        if (round % 2)
            rvt_yield();
        /* The owner's context closes while threads may still be inside; then the last of them closes the
         * device. */
        CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
        pthread_barrier_wait(&barrier);
        struct rvt_dev_info *found = NULL;
        CHECK(opened->closed);
        CHECK_EQ(rvt_find_shared(&known, &found, NULL), -RVT_ENODEV);
        rvt_free_ucontext(context);
        rvt_dev_put(opened);
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&barrier);
    printf("# %d contexts attached, %d threads came too late\n", atomic_load(&came), atomic_load(&missed));
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(a_token_is_unknown_before_any_device_is_shared), TEST(sharing_fails_without_random_numbers),
           TEST(a_device_has_the_same_token_each_time), TEST(finding_a_device_returns_a_reference),
           TEST(a_token_that_differs_in_one_bit_is_unknown),
           TEST(a_closed_device_is_neither_shared_nor_found),
           TEST(a_token_of_a_domain_reaches_only_that_domain), TEST(threads_share_find_and_close))
