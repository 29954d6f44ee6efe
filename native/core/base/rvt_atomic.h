/* SPDX-License-Identifier: BSD-3-Clause */
/* C11 atomics for the core. In C++ (the binding includes the core's headers), defines the same names over
 * std::atomic, as C++23's own <stdatomic.h> does. Both have the same layout in every compiler that supports
 * both. */
#ifndef RVT_ATOMIC_H
#define RVT_ATOMIC_H

#ifdef __cplusplus
#include <atomic> /* the binding must include this before, outside extern "C" */
#define _Atomic(type) std::atomic<type>
using std::atomic_compare_exchange_strong_explicit;
using std::atomic_compare_exchange_weak_explicit;
using std::atomic_exchange_explicit;
using std::atomic_fetch_add_explicit;
using std::atomic_load_explicit;
using std::atomic_store_explicit;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
#else
#include <stdatomic.h>
#endif

#endif
