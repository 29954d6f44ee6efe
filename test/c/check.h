/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks and the test runner of the C tests. A test file consists of `static void name(void)` functions and,
 * at its end, their table:
 *
 *     CHECK_MAIN(TEST(revokes_the_key), TEST(counts_references))
 *
 * A failed check prints its location and values, and the test continues; REQUIRE returns from the function
 * instead, for conditions that later steps depend on. Any thread may make checks. The output is TAP
 * (https://testanything.org), followed by a line "N passed, N failed" that scripts/c-tests.mjs adds up. */
#ifndef RVT_TEST_CHECK_H
#define RVT_TEST_CHECK_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check_test {
    const char *name;
    void (*run)(void);
};

/* Number of failed checks in the running test. */
static atomic_int check_failures;

static inline bool check_true(bool ok, const char *text, const char *file, int line) {
    if (!ok) {
        atomic_fetch_add(&check_failures, 1);
        printf("# %s:%d: %s\n", file, line, text);
    }
    return ok;
}

/* Both values arrive as 64 bits, sign-extended if signed: -22 equals -22 of any width, and differs from
 * 0xffffffea. */
static inline bool check_equal(uint64_t a, uint64_t b, const char *a_text, const char *b_text,
                               const char *file, int line) {
    if (a != b) {
        atomic_fetch_add(&check_failures, 1);
        printf("# %s:%d: %s is %" PRId64 " (0x%" PRIx64 "), %s is %" PRId64 " (0x%" PRIx64 ")\n", file, line,
               a_text, (int64_t)a, a, b_text, (int64_t)b, b);
    }
    return a == b;
}

static inline bool check_bytes(const void *a, const void *b, size_t length, const char *text,
                               const char *file, int line) {
    const unsigned char *p = a, *q = b;
    for (size_t i = 0; i < length; i++) {
        if (p[i] != q[i]) {
            atomic_fetch_add(&check_failures, 1);
            printf("# %s:%d: %s: byte %zu of %zu is 0x%02x, not 0x%02x\n", file, line, text, i, length, p[i],
                   q[i]);
            return false;
        }
    }
    return true;
}

#define CHECK(cond) ((void)check_true((cond), #cond, __FILE__, __LINE__))
/* For integers only; compare pointers with CHECK_PTR_EQ. */
#define CHECK_EQ(a, b) ((void)check_equal((uint64_t)(a), (uint64_t)(b), #a, #b, __FILE__, __LINE__))
#define CHECK_PTR_EQ(a, b) CHECK_EQ((uintptr_t)(const void *)(a), (uintptr_t)(const void *)(b))
#define CHECK_BYTES_EQ(a, b, length)                                                                         \
    ((void)check_bytes((a), (b), (length), #a " and " #b, __FILE__, __LINE__))
#define REQUIRE(cond)                                                                                        \
    do {                                                                                                     \
        if (!check_true((cond), #cond, __FILE__, __LINE__))                                                  \
            return;                                                                                          \
    } while (0)

static inline int check_run(const struct check_test *tests, size_t count) {
    size_t failed = 0;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* line-buffered, so that the output survives a crash */
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++) {
        atomic_store(&check_failures, 0);
        tests[i].run();
        bool ok = atomic_load(&check_failures) == 0;
        failed += !ok;
        printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, tests[i].name);
    }
    printf("%zu passed, %zu failed\n", count - failed, failed);
    return failed ? 1 : 0;
}

#define TEST(function)                                                                                       \
    { #function, function }
#define CHECK_MAIN(...)                                                                                      \
    int main(void) {                                                                                         \
        static const struct check_test tests[] = {__VA_ARGS__};                                              \
        return check_run(tests, sizeof(tests) / sizeof(tests[0]));                                           \
    }

#endif
