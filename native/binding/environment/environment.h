// SPDX-License-Identifier: BSD-3-Clause
// What one JavaScript environment (main thread or worker) has of the core: its reader, its open devices, and
// what other subjects keep for it. ARCHITECTURE.md has a table of the states of an ending environment.
#ifndef RDMAVT_ENVIRONMENT_H
#define RDMAVT_ENVIRONMENT_H

#include <napi.h>

#include <memory>
#include <thread>
#include <unordered_set>

#include "binding/environment/leaks.h"
#include "binding/environment/put_listeners.h"
#include "binding/environment/waker.h"
#include "core/rvt.h"

class OpenDevice;

// State that a subject above this one keeps for each environment. It lives as long as the environment does,
// which is longer than everything that the environment has made.
class EnvironmentPart {
public:
    virtual ~EnvironmentPart() = default;
    // The environment is about to end: let go of JavaScript's references. On its thread.
    virtual void End() = 0;
};

// The subjects that keep a part. Each defines its own class of it, and only that subject reads it.
enum PartOwner {
    kWrapperPart,
    kBuffersPart,
    kCommandBlockPart,
    kCheckersPart,
    kCellsPart,
    kCommandsPart,
    kBatchesPart,
    kParts
};

// Shared by everything that the environment has made; the last holder frees it, on whatever thread. All but
// ReleaseUse(), ReleaseReference() and running() is for the environment's own thread.
class Environment : public std::enable_shared_from_this<Environment> {
public:
    // Make the environment's state; nullptr without memory.
    static std::shared_ptr<Environment> Start(Napi::Env env);
    // The state of a running environment.
    static std::shared_ptr<Environment> Of(Napi::Env env);

    ~Environment();
    Environment(const Environment &) = delete;
    Environment &operator=(const Environment &) = delete;

    napi_env env() const {
        return env_;
    }
    rvt_reader *reader() const {
        return reader_;
    }

    // Ends one use: at once on the environment's own thread, otherwise when that thread next drains what was
    // left.
    void ReleaseUse(std::shared_ptr<Used> used);
    // Deletes a reference, in the same way.
    void ReleaseReference(napi_ref reference);
    // Let go of what other threads have left. Called where the owner changes things anyway, and when they
    // wake the environment.
    void DrainReferences() {
        if (waker_.any_left())
            waker_.LetGo();
    }

    // From now on other threads can wake this environment, so that what they leave is let go of even if it
    // does nothing by itself. Asked for when a device is shared; nobody else leaves anything. False: no
    // memory.
    bool BeWakeable();

    // False once the environment is going away: nothing is kept alive or accounted for any more, and other
    // threads leave nothing.
    bool running() const {
        return waker_.open();
    }

    // Tells the engine that the binding has so many bytes more, or fewer, so that its garbage collector takes
    // them into account. Does nothing any more when the environment is going away.
    void AccountFor(int64_t bytes);

    // Number of the data call that is running. Within one call each buffer is looked up only once.
    uint64_t call() const {
        return call_;
    }
    void NextCall() {
        call_++;
    }

    Leaks &leaks() {
        return leaks_;
    }
    // Reports the leak later, when JavaScript may run.
    void ReportLater(Leak leak);
    // Reports all waiting leaks now, and those of every open device that wants leaks reported: the process
    // (or worker) is ending.
    void TellAllLeaks();

    // From now on puts on regions of this context that are awaited (RVT_RELEASE_AWAIT) call those who have
    // asked for it. False: no memory.
    bool ListenForPuts(rvt_ucontext *context);
    PutListeners &put_listeners() {
        return put_listeners_;
    }

    void Add(OpenDevice *device) {
        devices_.insert(device);
    }
    void Remove(OpenDevice *device) {
        devices_.erase(device);
    }

    void Keep(PartOwner owner, std::unique_ptr<EnvironmentPart> part) {
        parts_[owner] = std::move(part);
    }
    EnvironmentPart &part(PartOwner owner) const {
        return *parts_[owner];
    }

    // Memory for the length of a call, kept for the next one unless it is large: a list that must hold still
    // is copied here. nullptr: there is none.
    void *Scratch(size_t bytes);

private:
    explicit Environment(Napi::Env env);
    // The environment is about to go: close its devices while references can still be released, in order.
    static void OnCleanup(void *self);
    static void OnEnd(Napi::Env env, std::shared_ptr<Environment> *data);
    static void OnWake(void *self);
    static void OnPut(void *self);

    napi_env env_;
    std::thread::id thread_;
    rvt_reader *reader_ = nullptr;
    Waker waker_;
    bool over_ = false; // nothing of the environment may be touched any more
    std::unordered_set<OpenDevice *> devices_;
    Leaks leaks_;
    PutListeners put_listeners_;
    std::unique_ptr<EnvironmentPart> parts_[kParts];
    std::unique_ptr<unsigned char[]> scratch_;
    size_t scratch_bytes_ = 0;
    uint64_t call_ = 0;
};

#endif
