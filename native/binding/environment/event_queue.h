// SPDX-License-Identifier: BSD-3-Clause
// The events that the engine has reported for one environment's objects on one device, until JavaScript takes
// them. Any thread that calls the core may report one.
#ifndef RDMAVT_EVENT_QUEUE_H
#define RDMAVT_EVENT_QUEUE_H

#include <mutex>
#include <vector>

#include "core/rvt.h"

class Environment;

class EventQueue {
public:
    struct Event {
        rvt_event_kind kind;
        uint64_t object; // serial number
    };

    explicit EventQueue(Environment &environment) : environment_(environment) {}
    EventQueue(const EventQueue &) = delete;
    EventQueue &operator=(const EventQueue &) = delete;

    // Called by the engine with its lock held: rvt_engine_host.event, whose `user` is the queue of the object's
    // environment. Wakes that environment for the first event.
    static void Report(rvt_event_kind kind, uint64_t object, void *user, void *data);

    // Returns the events that were reported since the last call, and empties the queue. Called on the
    // environment's thread.
    std::vector<Event> Take();

private:
    // A program that never takes its events must not use up the memory, so errors of completion queues are dropped
    // when this many are waiting, and likewise the events of queue pairs and shared receive queues. Completion events are never dropped, because promises wait for them:
    // there is one for each time that a queue is armed. Of timer events only one waits at a time.
    static constexpr uint32_t kMost = 1 << 16;

    Environment &environment_;
    std::mutex mutex_;
    // Protected by the mutex:
    std::vector<Event> events_;
    uint32_t cq_errors_ = 0, others_ = 0; // how many of events_ are of the kinds that can be dropped
    bool has_timer_ = false;              // a timer event waits
};

#endif
