// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/event_queue.h"

#include "binding/environment/environment.h"

void EventQueue::Report(rvt_event_kind kind, uint64_t object, void *user, void *) {
    auto *queue = static_cast<EventQueue *>(user);
    if (!queue)
        return; // created by a C program
    bool first;
    {
        std::lock_guard<std::mutex> lock(queue->mutex_);
        if (kind == RVT_EVENT_TIMER) {
            if (queue->has_timer_)
                return; // one is enough: it makes JavaScript look at all timers
            queue->has_timer_ = true;
        }
        if (kind == RVT_EVENT_CQ_ERR || kind == RVT_EVENT_LAST_WQE || kind == RVT_EVENT_SRQ_LIMIT) {
            // One broken completion queue can report many errors; events of queue pairs are counted apart.
            uint32_t &count = kind == RVT_EVENT_CQ_ERR ? queue->cq_errors_ : queue->others_;
            if (count >= kMost)
                return;
            count++;
        }
        first = queue->events_.empty();
        queue->events_.push_back({kind, object});
    }
    if (first)
        queue->environment_.NoteEvents();
}

std::vector<EventQueue::Event> EventQueue::Take() {
    std::vector<Event> events;
    std::lock_guard<std::mutex> lock(mutex_);
    events.swap(events_);
    cq_errors_ = others_ = 0;
    has_timer_ = false;
    return events;
}
