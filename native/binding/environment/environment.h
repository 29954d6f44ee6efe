// SPDX-License-Identifier: BSD-3-Clause
// The per-environment state of the binding (main thread or worker): its reader, its open devices, and the
// parts that other classes keep in it. ARCHITECTURE.md has a table of the states in which an environment
// ends.
#ifndef RDMAVT_ENVIRONMENT_H
#define RDMAVT_ENVIRONMENT_H

#include <napi.h>

#include <memory>
#include <thread>
#include <unordered_set>
#include <vector>

#include "binding/environment/leaks.h"
#include "binding/environment/listeners.h"
#include "binding/environment/waker.h"
#include "core/rvt.h"

class DevicePort;
class OpenDevice;

// State that another class of the binding keeps for each environment. It lives as long as the environment,
// and so outlives everything that the environment created.
class EnvironmentPart {
public:
    virtual ~EnvironmentPart() = default;
    // Releases JavaScript references, when the environment is about to end. Called on its thread.
    virtual void End() = 0;
};

// The owners of the parts. Each defines its own subclass of EnvironmentPart, and only that owner uses it.
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

// Shared by everything that the environment created; the last owner frees it, on any thread. Only
// ReleaseUse(), ReleaseReference() and running() may be called on other threads than the environment's own.
class Environment : public std::enable_shared_from_this<Environment> {
public:
    // Creates the environment's state. Returns nullptr if memory is short.
    static std::shared_ptr<Environment> Start(Napi::Env env);
    // Returns the state of a running environment.
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

    // Ends one use: at once on the environment's own thread, otherwise when that thread next drains its
    // queue.
    void ReleaseUse(std::shared_ptr<Used> used);
    // Deletes a reference, at once or later like ReleaseUse().
    void ReleaseReference(napi_ref reference);
    // Releases what other threads have queued for this environment. Called by operations that change objects
    // anyway, and when another thread wakes the environment.
    void DrainReferences() {
        if (waker_.any_left())
            waker_.LetGo();
    }

    // Lets other threads wake this environment, so that queued releases happen even if it is idle. Called
    // when a device is shared or attached (without a shared device, other threads queue nothing), and by leak
    // reports and put listeners. Returns false if memory is short.
    bool BeWakeable();

    // Returns false once the environment is ending. From then on the binding keeps nothing alive, reports no
    // memory, and other threads queue nothing.
    bool running() const {
        return waker_.open();
    }

    // Tells the garbage collector that the binding uses `bytes` more memory (fewer if negative). Does nothing
    // once the environment is ending.
    void AccountFor(int64_t bytes);

    // Returns the number of the current data call. Each buffer is looked up only once per call.
    uint64_t call() const {
        return call_;
    }
    void NextCall() {
        call_++;
    }

    Leaks &leaks() {
        return leaks_;
    }
    // Queues the leak and reports it once JavaScript may run.
    void ReportLater(Leak leak);
    // Reports all queued leaks now, and those of every open device that wants leaks reported, because the
    // process or worker is about to end.
    void TellAllLeaks();

    // From now on, a put on an awaited region (RVT_RELEASE_AWAIT) of this context calls the registered
    // listeners. Returns false if memory is short.
    bool ListenForPuts(rvt_ucontext *context);
    Listeners &put_listeners() {
        return put_listeners_;
    }

    // Wakes the environment, so that its event listeners are called. Any thread may call this, until the
    // contexts of the environment have ended.
    void NoteEvents();
    Listeners &event_listeners() {
        return event_listeners_;
    }
    // Work of a port that the event loop has called, outside of any call of JavaScript. Events of this thread's own are told
    // at its end, because waking the environment would cost system calls and another turn of the loop. Runs JavaScript.
    // Nothing may be done behind it with what JavaScript can end.
    void BeginLoopCall() {
        in_loop_call_ = true;
    }
    void EndLoopCall();
    // Returns whether events wait to be told.
    bool has_events() const {
        return event_listeners_.noted();
    }

    void Add(OpenDevice *device) {
        devices_.insert(device);
    }
    void Remove(OpenDevice *device) {
        devices_.erase(device);
    }

    // The open ports of this environment's devices (environment/device_port.h).
    void AddPort(DevicePort *port) {
        ports_.push_back(port);
    }
    void RemovePort(DevicePort *port);
    // A call into the engine begins or ends (EngineCall).
    void BeginEngineCall() {
        in_engine_call_ = true;
    }
    void EndEngineCall() {
        in_engine_call_ = false; // what the ports make ready now has no call that would end with it
        if (ports_due_)
            CallPortsNow();
    }
    bool in_engine_call() const {
        return in_engine_call_;
    }
    // Makes the present call into the engine, or the next one, call the ports when it ends. Called on the environment's
    // thread.
    void CallPorts() {
        ports_due_ = true;
    }
    // Closes the ports whose device or context has ended, or all.
    void ClosePorts(bool all);

    void Keep(PartOwner owner, std::unique_ptr<EnvironmentPart> part) {
        parts_[owner] = std::move(part);
    }
    EnvironmentPart &part(PartOwner owner) const {
        return *parts_[owner];
    }

    // Returns a buffer that is valid during one call, for lists that must not change while they are used. It
    // is kept for the next call unless it is large. Returns nullptr if memory is short.
    void *Scratch(size_t bytes);

private:
    explicit Environment(Napi::Env env);
    // Cleanup hook: closes the environment's devices while references can still be released in order.
    static void OnCleanup(void *self);
    static void OnEnd(Napi::Env env, std::shared_ptr<Environment> *data);
    static void OnWake(void *self);
    static void OnPut(void *self);
    void CallPortsNow();

    napi_env env_;
    std::thread::id thread_;
    rvt_reader *reader_ = nullptr;
    Waker waker_;
    bool over_ = false; // Node-API must not be called any more
    std::unordered_set<OpenDevice *> devices_;
    std::vector<DevicePort *> ports_;
    bool in_loop_call_ = false;
    bool in_engine_call_ = false;
    bool ports_due_ = false; // a port has something to do at the end of the present call
    Leaks leaks_;
    Listeners put_listeners_;
    Listeners event_listeners_;
    std::unique_ptr<EnvironmentPart> parts_[kParts];
    std::unique_ptr<unsigned char[]> scratch_;
    size_t scratch_bytes_ = 0;
    uint64_t call_ = 0;
};

#endif
