/* SPDX-License-Identifier: BSD-3-Clause */
/* The C++ runtime of the prebuilt binaries, together with the few parts of the C++ library that are linked in.
 * Errors abort instead of throwing. The add-on is compiled without exceptions: nothing could catch an exception
 * of the library, and it would end the process anyway. Aborting at once needs no unwinder, which would be the
 * largest part of the binary and would need symbols of a newer C library than Node itself. */
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#ifdef _WIN32
#define NOMINMAX
#include <windows.h>
#endif

namespace {

void *Allocate(std::size_t bytes) {
    return std::malloc(bytes ? bytes : 1);
}

void *AllocateOrEnd(std::size_t bytes) {
    void *memory = Allocate(bytes);
    if (!memory)
        std::abort();
    return memory;
}

} // namespace

void *operator new(std::size_t bytes) {
    return AllocateOrEnd(bytes);
}
void *operator new[](std::size_t bytes) {
    return AllocateOrEnd(bytes);
}
void *operator new(std::size_t bytes, const std::nothrow_t &) noexcept {
    return Allocate(bytes);
}
void *operator new[](std::size_t bytes, const std::nothrow_t &) noexcept {
    return Allocate(bytes);
}
void operator delete(void *memory) noexcept {
    std::free(memory);
}
void operator delete[](void *memory) noexcept {
    std::free(memory);
}
void operator delete(void *memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void *memory, std::size_t) noexcept {
    std::free(memory);
}

extern "C" void __cxa_pure_virtual() {
    std::abort();
}

#ifdef _LIBCPP_VERSION
const std::nothrow_t std::nothrow{};

_LIBCPP_BEGIN_NAMESPACE_STD
/* Instantiates only strings of char. The library's string.cpp also contains wide strings, and conversions
 * between strings and numbers. These would be a third of the Windows binary, because the C library of Windows
 * lacks the functions that they need. */
#define RVT_INSTANTIATE(...) template __VA_ARGS__;
_LIBCPP_STRING_V1_EXTERN_TEMPLATE_LIST(RVT_INSTANTIATE, char)

void __libcpp_verbose_abort(const char *, ...) {
    std::abort();
}
void __throw_system_error(int, const char *) {
    std::abort();
}
#ifdef _WIN32
/* The Windows linker requires definitions even of functions that only unused parts of the library call. */
void condition_variable::wait(unique_lock<mutex> &) noexcept {
    std::abort();
}
void condition_variable::notify_one() noexcept {
    std::abort();
}
chrono::system_clock::time_point chrono::system_clock::now() noexcept {
    std::abort();
}
/* Seconds and the rest apart: the counter times a thousand million would overflow after hours. */
chrono::steady_clock::time_point chrono::steady_clock::now() noexcept {
    LARGE_INTEGER frequency, counter;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    const long long whole = counter.QuadPart / frequency.QuadPart;
    const long long rest = counter.QuadPart % frequency.QuadPart;
    return time_point(seconds(whole) + nanoseconds(rest * 1000000000 / frequency.QuadPart));
}
#endif
_LIBCPP_END_NAMESPACE_STD

#ifdef _WIN32
std::exception::~exception() noexcept {}
const char *std::exception::what() const noexcept {
    return "exception";
}
#endif

#else
/* libstdc++ is compiled with exceptions and calls these functions to throw and to catch. */
#define ENDS(name)                                                                                           \
    extern "C" void name() {                                                                                 \
        std::abort();                                                                                        \
    }
ENDS(__cxa_allocate_exception)
ENDS(__cxa_begin_catch)
ENDS(__cxa_end_catch)
ENDS(__cxa_free_exception)
ENDS(__cxa_init_primary_exception)
ENDS(__cxa_rethrow)
ENDS(__cxa_throw)
ENDS(__gxx_personality_v0)
ENDS(_Unwind_Resume)

/* With the headers of glibc 2.32 and later, shared_ptr reads this variable to count without atomic instructions
 * while the process has a single thread. Older glibc versions lack the variable. Zero means: always atomic. */
extern "C" {
char __libc_single_threaded = 0;
}
#endif
