/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol of ioreq/bufpio_abi.h: two vCPUs in the hypervisor and the device model, one entry
 * of the page. Steps that another side can get between are steps here.
 *
 * An element is one byte of the buffer. A transfer has LENGTH of them, the buffer ROOM; the word is
 * {armed, pointer}, so that the same word comes again with each arming, of the same transfer and of
 * others. Each vCPU does OPS things, each a read or a write of the data port or a command that
 * begins another transfer, of either direction, in the middle of the last one or not.
 *
 * Ghosts (g_...) say what a guest must see: they move in the very step in which an access takes
 * effect, the exchange of the word or the device model's service. Asserted:
 *  - a read gives the element whose turn it is: none lost, none twice, none misplaced
 *  - a write ends up in the device at its place
 *  - a vCPU loads fields and bytes, and stores bytes, only of the arming whose word it holds: never
 *    of an entry or buffer that has begun to be something else since (g_stale)
 *  - at each request the device is exactly where the guest is
 *  - the last element of a transfer is a request: the device model learns of the end
 * and spin itself finds a deadlock: each vCPU comes to its end.
 *
 * Since g_stale is set in a step before the device model touches fields and buffer, its stores to
 * them can be one step, and so can the vCPU's loads of the fields: whoever came between would be
 * caught by the assertion.
 *
 * Each of these takes a part of the protocol away and must make the model fail, or it would show
 * nothing (tests/model/bufpio.sh):
 *   NO_INSIDE      the device model arms without looking at `activity`
 *   NO_BARRIER     the vCPU's store of `activity` becomes visible after its load of the word
 *   NO_EXCHANGE    the hypervisor stores the word instead of exchanging it
 *   NO_LOCK        vCPUs do not exclude each other
 *   ADVANCE_FIRST  the hypervisor advances the word before it moves the bytes
 *   NO_TAKE_OUT    a request is served while the entry is armed
 *   NO_FLAGS       the entry does not say its direction
 *   NOT_STRICT     the hypervisor takes the last element, too
 */

#ifndef OPS
#define OPS 3
#endif
#define LENGTH 4
#define ROOM   3
#define VCPUS  2

#define ELEMENT(transfer, i) (4 * (transfer) + (i) + 1)
#define WRITTEN(vcpu, i)     (64 + 16 * (vcpu) + (i))

#ifdef NOT_STRICT
#define MORE(pointer, end) (pointer < end)
#else
#define MORE(pointer, end) (pointer + 1 < end)
#endif

mtype = { NONE, READY, ANSWERED };   /* of a slot */
mtype = { READ, WRITE, COMMAND_IN, COMMAND_OUT };

/* The page. */
bool armed;
byte pointer;
byte data_end;
bool writes;                         /* flags */
bool inside;                         /* activity, bit 0 */
byte buffer[ROOM];

/* The hypervisor's. */
bool locked;

/* Requests. */
mtype slot[VCPUS] = NONE;
mtype op[VCPUS];
byte value[VCPUS];

/* The device: a transfer from the start. */
bool d_writes;
byte d_transfer;
byte d_pos;
byte d_got[LENGTH];

/* What is true. */
bool g_writes;
byte g_transfer;
byte g_pos;
byte g_put[LENGTH];
bool g_stale[VCPUS];                 /* what this vCPU's word stood for has begun to change */

inline g_moved(access, v)
{
    assert(g_pos < LENGTH && g_writes == (access == WRITE));
    if
    :: access == READ -> assert(v == ELEMENT(g_transfer, g_pos))
    :: else -> g_put[g_pos] = v
    fi;
    g_pos++
}

/* ---- a vCPU: its instructions, and the hypervisor that carries them out ---- */

inline move()
{
    atomic {
        assert(!g_stale[me]);
        if
        :: op[me] == READ -> v = buffer[at]
        :: else -> buffer[at] = v
        fi
    }
}

inline advance()
{
    atomic {
#ifndef NO_EXCHANGE
        if
        :: armed && pointer == at ->
#else
        if
        :: true ->
            armed = true;
#endif
            pointer = at + 1;
            answered = true;
#ifndef ADVANCE_FIRST
            g_moved(op[me], v);
            assert(g_pos < LENGTH)
#else
            if
            :: op[me] == WRITE -> g_moved(op[me], v)
            :: else -> skip
            fi
#endif
        :: else -> skip
        fi
    }
}

inline from_page()
{
#ifndef NO_LOCK
    atomic { !locked -> locked = true };
#endif
#ifndef NO_BARRIER
    inside = true;
#endif
    atomic { holds = armed; at = pointer; g_stale[me] = false };
#ifdef NO_BARRIER
    inside = true;
#endif
    if
    :: holds ->
        atomic {
            assert(!g_stale[me]);
            end = data_end;
#ifdef NO_FLAGS
            holds = MORE(at, end)
#else
            holds = MORE(at, end) && writes == (op[me] == WRITE)
#endif
        };
        if
        :: holds ->
#ifdef ADVANCE_FIRST
            advance();
            if
            :: answered ->
                move();
                if
                :: op[me] == READ -> atomic { g_moved(op[me], v) }
                :: else -> skip
                fi
            :: else -> skip
            fi
#else
            move();
            advance()
#endif
        :: else -> skip
        fi
    :: else -> skip
    fi;
    atomic { inside = false; holds = false; at = 0; end = 0; g_stale[me] = false };
#ifndef NO_LOCK
    locked = false
#endif
}

proctype vcpu(byte me)
{
    byte done, at, end, v;
    bool holds, answered;

    do
    :: done == OPS -> break
    :: done < OPS ->
        atomic {
            if
            :: op[me] = READ
            :: op[me] = WRITE; v = WRITTEN(me, done)
            :: op[me] = COMMAND_IN
            :: op[me] = COMMAND_OUT
            fi
        };
        if
        :: op[me] == READ || op[me] == WRITE -> from_page()
        :: else -> skip
        fi;
        if
        :: answered -> skip
        :: else ->
            atomic {
                value[me] = (op[me] == WRITE -> WRITTEN(me, done) : 0);
                slot[me] = READY
            };
            atomic { slot[me] == ANSWERED -> slot[me] = NONE; value[me] = 0 }
        fi;
        atomic { answered = false; v = 0; done++ }
    od
}

/* ---- the device model ---- */

inline take_out()
{
    atomic {
        n = (armed -> pointer : 0);
        armed = false;
        pointer = 0
    };
    atomic {
        i = 0;
        do
        :: i < n ->
            assert(d_pos < LENGTH);
            if
            :: d_writes ->
                assert(buffer[i] == g_put[d_pos]);
                d_got[d_pos] = buffer[i]
            :: else -> skip
            fi;
            d_pos++;
            i++
        :: else -> break
        od;
        i = 0; n = 0
    }
}

inline begin(out)
{
    d_writes = out;
    d_transfer = (d_transfer + 1) % 4;
    d_pos = 0;
    g_writes = out;
    g_transfer = d_transfer;
    g_pos = 0;
    i = 0;
    do
    :: i < LENGTH -> d_got[i] = 0; g_put[i] = 0; i++
    :: else -> break
    od;
    i = 0
}

inline serve()
{
    atomic {
        /* What other vCPUs moved is through. */
        assert(d_pos == g_pos && d_writes == g_writes && d_transfer == g_transfer);
        if
        :: op[s] == READ && !d_writes && d_pos < LENGTH ->
            value[s] = ELEMENT(d_transfer, d_pos);
            g_moved(READ, value[s]);
            d_pos++
        :: op[s] == WRITE && d_writes && d_pos < LENGTH ->
            d_got[d_pos] = value[s];
            g_moved(WRITE, value[s]);
            d_pos++
        :: op[s] == COMMAND_IN -> begin(false)
        :: op[s] == COMMAND_OUT -> begin(true)
        :: else -> skip              /* all-ones, or dropped */
        fi;
        i = 0;
        do
        :: i < d_pos && d_writes -> assert(d_got[i] == g_put[i]); i++
        :: else -> break
        od;
        i = 0
    }
}

inline arm()
{
    n = (LENGTH - d_pos < ROOM -> LENGTH - d_pos : ROOM);
    if
    :: n < 2 -> skip
#ifndef NO_INSIDE
    :: n >= 2 && inside -> skip      /* stays disarmed, for this time */
    :: n >= 2 && !inside ->
#else
    :: n >= 2 ->
#endif
        atomic { g_stale[0] = true; g_stale[1] = true };
        atomic {
            i = 0;
            do
            :: i < ROOM ->
                /* A buffer of writes is not cleared, but what is left in it means nothing. */
                buffer[i] = (i < n && !d_writes -> ELEMENT(d_transfer, d_pos + i) : 0);
                i++
            :: else -> break
            od;
            i = 0;
            data_end = n;
            writes = d_writes
        };
        atomic { armed = true; pointer = 0 }
    fi
}

active proctype device_model()
{
    byte i, n, s;

    arm();
    n = 0;
end:
    do
    :: atomic { slot[0] == READY -> s = 0 }; goto request
    :: atomic { slot[1] == READY -> s = 1 }; goto request
    od;
request:
#ifdef NO_TAKE_OUT
    serve();
    take_out();
#else
    take_out();
    serve();
#endif
    arm();
    atomic { slot[s] = ANSWERED; n = 0; s = 0 };
    goto end
}

init
{
    atomic { run vcpu(0); run vcpu(1) }
}
