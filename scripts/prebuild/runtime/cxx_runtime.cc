/* SPDX-License-Identifier: BSD-3-Clause */
/* What the prebuilt binaries have of a C++ runtime, beside the few parts of the library that are linked in.
 * Nothing here or there throws: the add-on is compiled without exceptions, so that a `throw` of the library
 * could be caught nowhere and would end the process in any case. Ended at once, it needs no unwinder, which
 * would be most of the binary and want symbols of a newer C library than Node itself does. */
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

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

#ifdef _LIBCPP_VERSION
const std::nothrow_t std::nothrow{};

extern "C" void __cxa_pure_virtual() {
    std::abort();
}

_LIBCPP_BEGIN_NAMESPACE_STD
/* The library's own string.cpp has strings of wide characters and numbers from and to strings besides: a
 * third of the binary for Windows, which has no such functions in its C library. */
#define RVT_INSTANTIATE(...) template __VA_ARGS__;
_LIBCPP_STRING_V1_EXTERN_TEMPLATE_LIST(RVT_INSTANTIATE, char)

void __libcpp_verbose_abort(const char *, ...) {
    std::abort();
}
void __throw_system_error(int, const char *) {
    std::abort();
}
#ifdef _WIN32
/* Linked for Windows, even what only unused parts of the library name must be there. */
void condition_variable::wait(unique_lock<mutex> &) noexcept {
    std::abort();
}
void condition_variable::notify_one() noexcept {
    std::abort();
}
chrono::system_clock::time_point chrono::system_clock::now() noexcept {
    std::abort();
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
/* libstdc++ itself is compiled with exceptions: what it calls to throw and to catch. */
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

/* The headers of glibc 2.32 and later have shared_ptr read this, to count without atomic instructions while
 * there is one thread. Older glibc has no such variable: count atomically always. */
extern "C" {
char __libc_single_threaded = 0;
}
#endif
