// SPDX-License-Identifier: BSD-3-Clause
// What one JavaScript environment (main thread or worker) has of the core: its reader, its open devices, and
// the references on JavaScript memory that only its own thread may let go of.
#ifndef RDMAVT_ENVIRONMENT_H
#define RDMAVT_ENVIRONMENT_H

#include <napi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "core/rvt.h"

class OpenDevice;
struct JsBuffer;
struct HotBatch;

// Shared by everything that the environment has made; the last holder frees it, on whatever thread.
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

    // A napi_ref may only be touched on its own thread, and region memory is freed by whoever finds that
    // every reader has passed; so other threads leave what has to be let go of here for the owner.
    //
    // One use of a buffer is over.
    void ReleaseBuffer(std::shared_ptr<JsBuffer> buffer);
    // A buffer itself is gone.
    void ReleaseReference(napi_ref reference);
    // Let go of what other threads have left. Called where the owner changes things anyway, and when they
    // wake the environment.
    void DrainReferences();

    // From now on other threads can wake this environment, so that what they leave is let go of even if it
    // does nothing by itself. Asked for when a device is shared; nobody else leaves anything. False: no
    // memory.
    bool BeWakeable();

    // False once the environment is going away: nothing is kept alive or accounted for any more, and other
    // threads leave nothing.
    bool running() const {
        return running_;
    }

    // Number of the data call that is running: memory is looked up once in each.
    uint64_t call() const {
        return call_;
    }
    void NextCall() {
        call_++;
    }

    // What a collected device still had, to be told when JavaScript may run: rows of regions as in
    // resource.h.
    struct Leak {
        double device, context;
        std::vector<uint64_t> regions;
    };
    void ReportLater(Leak leak);
    // Tell now what waits, and what every device has that is to tell: the process (or worker) ends.
    void TellAllLeaks();
    // Who is told: (device number, context number, rows).
    Napi::FunctionReference on_leak;

    void Add(OpenDevice *device) {
        devices_.insert(device);
    }
    void Remove(OpenDevice *device) {
        devices_.erase(device);
    }

    // The payload of the wrapper that is being constructed. Wrappers are made by native code only: a
    // constructor that JavaScript got hold of and calls finds nothing here and throws.
    void *pending = nullptr;

    // Single checks: one function for all batches of the environment, because calls to one function are what
    // the engine makes short. Which batch is meant stands in the command block (shared memory), and so does
    // the answer. Owner thread only.
    volatile uint32_t *command = nullptr;
    napi_ref command_reference = nullptr;
    std::vector<HotBatch *> batches;  // by number; nullptr: gone
    std::vector<size_t> free_batches; // numbers to be given again

    // Memory for the length of a call, kept for the next one unless it is large: a list that must hold still
    // is copied here. nullptr: there is none. Owner thread only.
    void *Scratch(size_t bytes);

    // The constructors of the wrapper classes, by WrapperClass.
    static constexpr int kWrapperClasses = 9;
    Napi::FunctionReference constructors[kWrapperClasses];

private:
    explicit Environment(Napi::Env env) : env_(env), thread_(std::this_thread::get_id()) {}
    // The environment is about to go: close its devices while references can still be released, in order.
    static void OnCleanup(void *self);
    static void OnEnd(Napi::Env env, std::shared_ptr<Environment> *data);
    static void OnWake(napi_env env, napi_value callback, void *self, void *data);
    void Wake(); // from any thread, under mutex_
    void TellLeaks();
    void LetGo();

    napi_env env_;
    std::thread::id thread_;
    rvt_reader *reader_ = nullptr;
    std::atomic<bool> running_{true};
    bool over_ = false; // nothing of the environment may be touched any more; owner thread only
    std::unordered_set<OpenDevice *> devices_; // owner thread only
    std::unique_ptr<unsigned char[]> scratch_;
    size_t scratch_bytes_ = 0;
    uint64_t call_ = 0;                       // owner thread only
    napi_threadsafe_function wake_ = nullptr; // set by the owner, before others can know of this
    std::vector<Leak> leaks_;                 // owner thread only
    std::mutex mutex_;                        // left_, left_buffers_, and running_ becoming false
    std::vector<napi_ref> left_;
    std::vector<std::shared_ptr<JsBuffer>> left_buffers_;
    std::atomic<bool> any_left_{false};
};

struct MemoryHold;

// A device as one environment holds it: its context. Open as long as any object of it is reachable; when the
// last one is collected or the environment ends, the context ends by force, and with the last context the
// device.
class OpenDevice {
public:
    // Both consumed. `opened`: this environment made the device, and accounts for its memory.
    OpenDevice(std::shared_ptr<Environment> environment, rvt_dev_info *device, rvt_ucontext *context,
               bool opened);
    ~OpenDevice();
    OpenDevice(const OpenDevice &) = delete;
    OpenDevice &operator=(const OpenDevice &) = delete;

    rvt_dev_info *get() const {
        return device_;
    }
    rvt_ucontext *context() const {
        return context_;
    }
    Environment &environment() const {
        return *environment_;
    }
    const std::shared_ptr<Environment> &environment_ptr() const {
        return environment_;
    }

    // After every call that changes things: let go of what other threads have left, and tell the engine how
    // much memory the core has for this device, so that its garbage collector can take that into account.
    void Settle();

    // Tell about regions that are alive when nothing of the device is reachable any more.
    bool report_leaks = false;
    Environment::Leak LeakNow() const;
    std::unordered_set<MemoryHold *> holds; // what its objects of that memory hold

private:
    void Account(int64_t bytes);

    std::shared_ptr<Environment> environment_;
    rvt_dev_info *device_; // one reference
    rvt_ucontext *context_;
    bool opened_;
    int64_t accounted_ = 0;
};

// A reader's section for the length of a scope.
class Section {
public:
    explicit Section(Environment &environment) : reader_(environment.reader()) {
        rvt_read_enter(reader_);
    }
    ~Section() {
        rvt_read_leave(reader_);
    }
    Section(const Section &) = delete;
    Section &operator=(const Section &) = delete;

private:
    rvt_reader *reader_;
};

#endif
