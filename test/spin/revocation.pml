/* SPDX-License-Identifier: BSD-3-Clause */
/* A model of native/core/base/epoch.h and of the verbs that wait (change, unlock, wait, reclaim). It proves that after a verb
 * that ends a region has returned, no reader moves a byte of the region. scripts/spin.mjs lists the claims and variants.
 *
 * The model has weak memory, like C11 acquire and release. A reader knows of some changes of records, and so does every value
 * stored with release: an acquire load of the value hands that knowledge on. A reader that knows of a change cannot read the
 * state before it; of other changes it may read either state. A read-modify-write reads the newest value and adds to the
 * knowledge stored with it; a load may return an older value; a store drops the knowledge stored with the previous value. */

#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef COLLECTED
#define COLLECTED 0 /* number of records retired by the garbage collector */
#endif
#ifndef DEVICES
#define DEVICES 1 /* if 2, the second waiter's record is on the second device; all others are on the first */
#endif
#define READERS 2
#define RECORDS (WAITERS + COLLECTED) /* each waiter ends one record; the collector ends the rest */
#define MEMORIES (2 * RECORDS)        /* the first memory of each record, then the second of each */
#define EPOCHS (2 + RECORDS)          /* the epoch starts at 1; each ended record adds 1 */

#if WAITERS == 2 && DEVICES == 2
#define device_of(record) ((record) == 1 -> 2 : 1)
#else
#define device_of(record) 1
#endif

/* A set of changes, with two bits for each record. */
#define ended(record) (1 << 2 * (record))
#define registered(record) (2 << 2 * (record)) /* other memory was registered in the same slot after the end */
#define about(record, changes) ((changes) >> 2 * (record) & 3)

byte changes; /* the set of all changes made so far */

byte epoch = 1;
byte epoch_knows[EPOCHS]; /* knowledge stored with each epoch value */

/* A reader's slot: 0 outside a section, otherwise the device and the epoch that the reader read before entering. */
#define slot_of(device, number) ((device) * 8 + (number))
#define is_inside(slot, device) ((slot) / 8 == (device))
#define number_in(slot) ((slot) % 8)
byte slots[READERS];
byte slot_knows[READERS];

/* The lock of each device: 0, or 1 + the id of the process that holds it. Work under a lock is modeled as one step. */
byte locks[3];
#define lock(device) atomic { !locks[device] -> locks[device] = _pid + 1 }
#define unlock(device) locks[device] = 0

#if COLLECTED
/* Records that the garbage collector retired on the first device, in the order of their epochs. Protected by the device's lock. */
byte listed_epoch[COLLECTED];
byte listed; /* number of records ever listed */
byte taken;  /* number of records freed or about to be freed */
#endif

/* For each memory: the verb that ended its region has returned, or the memory is freed. */
bit gone[MEMORIES];
byte running = WAITERS;

/* fetch_add(&epoch, 1) with acquire and release; sets `before` to the old value. */
inline advance_epoch(before, known) {
    d_step {
        before = epoch;
        epoch++;
        epoch_knows[epoch] = epoch_knows[before] | known
    }
}

/* fetch_add(&slots[number], 0) with acquire and release; sets `found` to the value. Knowledge added to a value other than 0
 * is not modeled, because the reader's next store drops it. */
inline look_at_slot(number, found, known) {
    d_step {
        found = slots[number];
        slot_knows[number] = (found -> 0 : slot_knows[number] | known)
    }
}

/* A reader runs one section after another. A copy that leaves and enters again keeps nothing: each section checks the record
 * again. The reader uses one record; in its sections on the other device it moves no bytes. */
proctype Reader(byte me; byte record) {
    byte knows; /* known changes of its record */
    byte device = 1;
    byte next_device, number, found;

end:
    do
    ::  atomic {
            select(next_device : 1 .. DEVICES);
            if
#ifndef SWITCH_BY_LOAD
            ::  next_device != device ->
                /* The reader's previous section was on the other device. A waiter on this device that looked at the slot during
                 * that section did not wait, and the store that ended the section dropped the knowledge the look left. So the
                 * reader does fetch_add(&epoch, 0) with acquire and release: either it follows the waiter's fetch_add and learns
                 * of the change, or it precedes it, and then the waiter's look follows the store. */
                number = epoch;
                knows = knows | about(record, epoch_knows[number])
#endif
            ::  else ->
                /* Load the epoch with acquire. */
#ifdef LIVENESS
                number = epoch; /* for liveness, a stored value must be seen eventually */
#else
                select(number : 1 .. epoch);
#endif
#ifndef LOAD_EPOCH_RELAXED
                knows = knows | about(record, epoch_knows[number])
#endif
            fi;
            device = next_device;
            next_device = 0
        }
        d_step {
            /* Enter: exchange with acquire and release. */
#ifndef ENTER_BY_STORE
            knows = knows | about(record, slot_knows[me]);
#endif
            slots[me] = slot_of(device, number);
            slot_knows[me] = 0;
            number = 0
        }
        if
        ::  device == device_of(record) ->
            atomic {
                /* Read the record: any state that is not older than the known changes. */
                found = knows;
                do
                :: found != about(record, changes) -> found = found * 2 + 1
                :: break
                od;
                knows = found
            }
            if
            ::  found == ended(0)
            ::  else ->
                /* Move bytes. The step may run at any time, so one step covers all moves of the section. */
                assert(!gone[record + (found > ended(0) -> RECORDS : 0)])
            fi
        ::  else
        fi;
#ifdef READER_STAYS
        device == 2; /* blocks forever on the first device */
#endif
#ifdef SLOW_PATH
        if
        ::  true -> !locks[device] /* take and release the lock */
        ::  true
        fi;
#endif
        atomic {
            /* Leave: store with release. */
            slots[me] = 0;
            slot_knows[me] = 0;
            found = 0
        }
    od
}

#ifdef WAIT_UNDER_LOCK
#define HOLDS_NO_LOCK true /* this variant must find the deadlock */
#else
#define HOLDS_NO_LOCK (locks[1] != _pid + 1 && locks[2] != _pid + 1)
#endif

#define must_wait(slot) (is_inside(slot, device_of(me)) && number_in(slot) <= now)

/* Waits until no reader is inside the device with an epoch up to `now`. */
inline wait_for_readers() {
    do
    ::  reader < READERS ->
        atomic {
            assert(HOLDS_NO_LOCK);
            look_at_slot(reader, found, ended(me));
            holds_up = must_wait(found);
            found = 0;
            if :: holds_up :: else -> reader++ fi
        }
        if
        ::  holds_up ->
            atomic {
                /* Load the slot until it changes. If the reader has entered again, a load may still return that it is outside. */
                if
                :: !must_wait(slots[reader])
                :: !was_stale -> was_stale = 1
                fi;
#ifdef LET_GO_BY_LOAD
                reader++;
#endif
                holds_up = 0
            }
        ::  else
        fi
    ::  reader == READERS -> break
    od;
    atomic { reader = 0; was_stale = 0 }
}

#if COLLECTED
#ifdef FREE_TOO_EARLY
#define can_free(number) ((number) <= oldest)
#else
#define can_free(number) ((number) < oldest)
#endif

/* Frees the collector's records, up to the first one that a reader inside the device may still see. */
inline reclaim() {
    /* Load the epoch with acquire before looking at the slots: a reader that enters after the looks may see records retired after
     * them. */
    atomic {
        select(oldest : 1 .. epoch);
        known = epoch_knows[oldest];
#ifdef NO_BOUND
        oldest = EPOCHS
#endif
    }
    do
    ::  reader < READERS ->
        d_step {
            look_at_slot(reader, found, known);
            if
            :: is_inside(found, 1) && number_in(found) < oldest -> oldest = number_in(found)
            :: else
            fi;
            found = 0;
            reader++
        }
    ::  else -> break
    od;
    reader = 0;
    known = 0;
    lock(1);
    d_step {
        first = taken;
        do
        :: taken < listed && can_free(listed_epoch[taken]) -> taken++
        :: else -> break
        od;
        last = taken;
        oldest = 0
    }
    unlock(1);
    d_step {
        do
        :: first < last -> gone[WAITERS + first] = 1; first++
        :: else -> break
        od;
        first = 0;
        last = 0
    }
}
#endif

/* A verb that ends record `me`. Afterwards the program registers other memory, which gets the same slot. */
proctype Waiter(byte me) {
    byte now, reader, found, oldest, known, first, last;
    bit holds_up, was_stale;

#ifdef ADVANCE_FIRST
    advance_epoch(now, 0);
#endif
    atomic {
        lock(device_of(me));
        changes = changes | ended(me);
#ifndef WAIT_UNDER_LOCK
        unlock(device_of(me))
#endif
    }
#ifndef ADVANCE_FIRST
    advance_epoch(now, ended(me));
#endif
#ifndef NO_WAIT
    wait_for_readers();
#endif
#ifdef WAIT_UNDER_LOCK
    unlock(device_of(me));
#endif
    atomic {
        now = 0;
        gone[me] = 1;
        lock(device_of(me));
        changes = changes | registered(me);
        unlock(device_of(me))
    }
#if COLLECTED
    if
    :: device_of(me) == 1 -> reclaim()
    :: else
    fi;
#endif
    running--
}

#if COLLECTED
/* The garbage collector's finalizers, which retire records without waiting. */
proctype Collector() {
    do
    ::  listed < COLLECTED ->
        atomic {
            lock(1);
            changes = changes | ended(WAITERS + listed);
            advance_epoch(listed_epoch[listed], ended(WAITERS + listed));
            listed++;
            unlock(1)
        }
    ::  else -> break
    od
}
#endif

init {
    atomic {
        byte record;
        select(record : 0 .. RECORDS - 1);
        run Reader(0, record);
        select(record : record .. RECORDS - 1); /* readers are interchangeable */
        run Reader(1, record);
        run Waiter(0);
#if WAITERS == 2
        run Waiter(1);
#endif
#if COLLECTED
        run Collector()
#endif
    }
}

#ifdef LIVENESS
#ifdef READER_STAYS
ltl ends { <> (gone[1] == 1) } /* the second waiter returns */
#else
ltl ends { <> (running == 0) }
#endif
#endif
