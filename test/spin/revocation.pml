/* SPDX-License-Identifier: BSD-3-Clause */
/* Change, unlock, wait, reclaim: how a call that ends a region knows that no reader moves a byte of it any more. A model of
 * native/core/base/epoch.h and of the calls that wait. scripts/spin.mjs lists the claims and the variants that are checked.
 *
 * Memory is weak here, in the manner of C11's acquire and release. A reader knows some changes of records, and so does every value that
 * is stored with release: who reads the value with acquire knows them, too. A reader that knows a change does not read what was
 * before it; of a change that it does not know it reads either. A read-modify-write reads the newest value and adds to what is known
 * with it; a load may return an older value; a store drops what was known with the value before. */

#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef COLLECTED
#define COLLECTED 0 /* how many records the garbage collector ends */
#endif
#ifndef DEVICES
#define DEVICES 1 /* with 2, the record of the second waiter is on the second device; all others are on the first */
#endif
#define READERS 2
#define RECORDS (WAITERS + COLLECTED) /* each waiter ends one; the collector ends those after them */
#define MEMORIES (2 * RECORDS)        /* what each record names first, then what each names next */
#define EPOCHS (2 + RECORDS)          /* each end adds 1, beginning with 1 */

#if WAITERS == 2 && DEVICES == 2
#define device_of(record) ((record) == 1 -> 2 : 1)
#else
#define device_of(record) 1
#endif

/* Sets of changes: two bits for each record. */
#define ended(record) (1 << 2 * (record))
#define registered(record) (2 << 2 * (record)) /* other memory in the same slot, after the end */
#define about(record, changes) ((changes) >> 2 * (record) & 3)

byte changes; /* all that were made */

byte epoch = 1;
byte epoch_knows[EPOCHS]; /* by epoch */

/* A reader's slot: 0 outside, else the device and the epoch that the reader read before it entered. */
#define slot_of(device, number) ((device) * 8 + (number))
#define is_inside(slot, device) ((slot) / 8 == (device))
#define number_in(slot) ((slot) % 8)
byte slots[READERS];
byte slot_knows[READERS];

/* By device: 0, or 1 + the process that holds the lock. What is done under a lock in one go is one step here. */
byte locks[3];
#define lock(device) atomic { !locks[device] -> locks[device] = _pid + 1 }
#define unlock(device) locks[device] = 0

#if COLLECTED
/* What the garbage collector has retired on the first device, in the order of the epochs. Under its lock. */
byte listed_epoch[COLLECTED];
byte listed; /* how many there ever were */
byte taken;  /* how many of them are freed, or about to be */
#endif

/* By memory: the call that ended its region has returned, or the memory is freed. */
bit gone[MEMORIES];
byte running = WAITERS;

/* fetch_add(&epoch, 1), acquire and release; `before` gets the old value. */
inline advance_epoch(before, known) {
    d_step {
        before = epoch;
        epoch++;
        epoch_knows[epoch] = epoch_knows[before] | known
    }
}

/* fetch_add(&slots[number], 0), acquire and release; `found` gets the value. What it adds to what is known with a value that is not 0 is
 * left out: the reader's next store drops it. */
inline look_at_slot(number, found, known) {
    d_step {
        found = slots[number];
        slot_knows[number] = (found -> 0 : slot_knows[number] | known)
    }
}

/* Sections, one after the other. A copy that leaves and enters again keeps nothing: each section judges anew. The reader is interested in
 * one record; in its sections on the other device it moves nothing. */
proctype Reader(byte me; byte record) {
    byte knows; /* of its record */
    byte device = 1;
    byte next_device, number, found;

end:
    do
    ::  atomic {
            select(next_device : 1 .. DEVICES);
            if
#ifndef SWITCH_BY_LOAD
            ::  next_device != device ->
                /* Its section before was on the other device. A waiter of this one that looked at the slot then did not wait for it, and
                 * the store that ended that section has dropped what the look left there. So: fetch_add(&epoch, 0), acquire and
                 * release. Either it comes after the waiter's fetch_add, and hands on the change; or before it, and then the waiter's
                 * look is after that store. */
                number = epoch;
                knows = knows | about(record, epoch_knows[number])
#endif
            ::  else ->
                /* Load the epoch, acquire. */
#ifdef LIVENESS
                number = epoch; /* what was stored is seen some time */
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
            /* Enter: exchange, acquire and release. */
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
                /* Read the record. */
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
                /* Move bytes. This step may come at any time, so it stands for all moves of the section. */
                assert(!gone[record + (found > ended(0) -> RECORDS : 0)])
            fi
        ::  else
        fi;
#ifdef READER_STAYS
        device == 2; /* no way on from here on the first device */
#endif
#ifdef SLOW_PATH
        if
        ::  true -> !locks[device] /* take the lock and give it back */
        ::  true
        fi;
#endif
        atomic {
            /* Leave: store, release. */
            slots[me] = 0;
            slot_knows[me] = 0;
            found = 0
        }
    od
}

#ifdef WAIT_UNDER_LOCK
#define HOLDS_NO_LOCK true /* the deadlock is what this variant is to find */
#else
#define HOLDS_NO_LOCK (locks[1] != _pid + 1 && locks[2] != _pid + 1)
#endif

#define must_wait(slot) (is_inside(slot, device_of(me)) && number_in(slot) <= now)

/* Wait until no reader is inside the device with an epoch that is not newer than `now`. */
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
                /* Load the slot until it says otherwise. When the reader is inside again, a load may still say that it is outside. */
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

/* Free what the collector has retired, up to the first item that a reader inside the device may still see. */
inline reclaim() {
    /* Load the epoch, acquire, before the looks: what is retired after them may be seen by who enters after them. */
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

/* A call that ends record `me`; then its program registers other memory, which gets the same slot. */
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
/* Finalizers of the garbage collector: they retire and do not wait. */
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
        select(record : record .. RECORDS - 1); /* the readers are alike */
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
ltl ends { <> (gone[1] == 1) } /* the second call */
#else
ltl ends { <> (running == 0) }
#endif
#endif
