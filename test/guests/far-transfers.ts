/**
 * Far JMP, CALL, RET and IRET between privilege levels and code sizes in 32-bit protected mode, through descriptors and call gates
 * (SDM Vol. 3A §5.8, §6.12, Vol. 2A).
 */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Access, Flag, Flags, Gate, Place, Selector, gate, segment } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [TS, NP, SS, GP] = [10, 11, 12, 13]
const { BIG, PAGES } = Flags
const FREE = Selector.FREE
const Own = {
  CODE1: FREE | 1, DATA1: (FREE + 8) | 1, CODE2: (FREE + 16) | 2, DATA2: (FREE + 24) | 2, CONFORMING0: FREE + 32,
  CONFORMING3: FREE + 40,
  ABSENT: FREE + 48, SMALL: FREE + 56, CODE16_3: (FREE + 64) | 3, DATA16_3: (FREE + 72) | 3, GATES: FREE + 0x100, BEYOND: 0x1000,
  STACK16: FREE + 80, EXECUTE_ONLY: FREE + 88,
} as const
/** Stacks of levels 1 and 2. */
const STACK1 = Place.USER_DATA + 0x10000
const STACK2 = Place.USER_DATA + 0x20000
const POINTER = Place.USER_DATA + 0x8000
const USER_CODE = Selector.USER_CODE32

function define(g: Guest): void {
  const flat = (selector: number, access: number, flags: number = BIG): void =>
    g.gdt(selector, segment(0, 0xfffff, access, flags | PAGES))
  flat(Own.CODE1, 0xba)
  flat(Own.DATA1, 0xb2)
  flat(Own.CODE2, 0xda)
  flat(Own.DATA2, 0xd2)
  flat(Own.CONFORMING0, 0x9e)
  flat(Own.CONFORMING3, 0xfe)
  flat(Own.ABSENT, 0x1a)
  flat(Own.EXECUTE_ONLY, 0x98)
  flat(Own.STACK16, 0x92, 0)
  g.gdt(Own.SMALL, segment(0, 0xfff, Access.CODE, BIG))
  g.gdt(Own.CODE16_3, segment(Place.USER_DATA, 0xffff, 0xfa))
  g.gdt(Own.DATA16_3, segment(Place.USER_DATA, 0xffff, 0xf2))
  for (const [level, esp, ss] of [[1, STACK1, Own.DATA1], [2, STACK2, Own.DATA2]]) {
    g.poke(Place.TSS + 4 + level * 8, esp, 4)
    g.poke(Place.TSS + 8 + level * 8, ss, 4)
  }
}

/** The next free gate selector. */
function addGate(g: Guest, value = 0n): number {
  const selector = Own.GATES + gates * 8
  gates++
  g.gdt(selector, value)
  return selector
}
let gates = 0

/** Loads EAX, EBX, ECX, EDX, ESI and EDI from the stack without moving it. */
function showStack(a: Assembler, bits: 16 | 32 = 32): void {
  const names = ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi']
  names.forEach((name, n) => {
    if (bits === 32) a.mov(name, mem('esp', n * 4))
    else {
      a.mov(name, 0)
      a.mov(name.slice(1), mem('esp', n * 2))
    }
  })
}

type Ring = 0 | 3

/** A far JMP or CALL that is refused. */
function addRefusals(g: Guest): void {
  const rows: readonly (readonly [string, number, Ring, number, number])[] = [
    ['null', 0, 0, GP, 0], ['null with RPL', 3, 0, GP, 0], ['beyond the table', Own.BEYOND, 0, GP, Own.BEYOND],
    ['of an LDT that is null', 0x0c, 0, GP, 0x0c], ['data', Selector.DATA, 0, GP, Selector.DATA],
    ['absent code', Own.ABSENT, 0, NP, Own.ABSENT], ['beyond the limit', Own.SMALL, 0, GP, 0],
    ['level 3 from level 0', USER_CODE & ~3, 0, GP, USER_CODE & ~3], ['RPL above CPL', Selector.CODE32 | 3, 0, GP, Selector.CODE32],
    ['level 0 from level 3', Selector.CODE32, 3, GP, Selector.CODE32], ['level 1 from level 3', Own.CODE1, 3, GP, Own.CODE1 & ~3],
    ['conforming level 3 from level 0', Own.CONFORMING3, 0, GP, Own.CONFORMING3], ['the LDT', Selector.LDT, 0, GP, Selector.LDT],
    ['absent code of level 0 from level 3', Own.ABSENT, 3, GP, Own.ABSENT],
  ]
  for (const how of ['JMP', 'CALL', 'JMP by memory'] as const) for (const [name, selector, ring, vector, error] of rows) {
    const label = g.a.fresh('far')
    g.probe(`${how} refused: ${name}`, {
      ring, setup: (a) => {
        a.store(mem(POINTER), 0x100000, 32)
        a.store(mem(POINTER + 4), selector, 32)
      },
      body: (a) => {
        a.label(label)
        if (how === 'JMP') a.farJump(selector, 0x100000)
        else if (how === 'CALL') a.farCall(selector, 0x100000)
        else a.farIndirect(5, mem(POINTER))
      },
      expect: {
        vector, error, rip: at(label), cs: ring === 0 ? Selector.CODE32 : USER_CODE,
        rsp: ring === 0 ? Place.STACK0 : Place.USER_STACK,
      },
    })
  }
}

/** Direct transfers that keep the level, conforming code among them. */
function addDirect(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, number, Ring, number])[] = [
    ['the same segment', Selector.CODE32, 0, Selector.CODE32], ['execute-only code', Own.EXECUTE_ONLY, 0, Own.EXECUTE_ONLY],
    ['conforming level 0', Own.CONFORMING0, 0, Own.CONFORMING0], ['conforming level 0', Own.CONFORMING0, 3, Own.CONFORMING0 | 3],
    ['conforming level 0 with RPL 3', Own.CONFORMING0 | 3, 0, Own.CONFORMING0],
    ['conforming level 3', Own.CONFORMING3 | 3, 3, Own.CONFORMING3 | 3],
    ['level 3 with RPL 0', USER_CODE & ~3, 3, USER_CODE],
  ]
  for (const [name, selector, ring, cs] of rows) {
    const target = g.inUserPages(32, () => {
      showStack(a)
      a.int(DONE)
    })
    const expect = { vector: DONE, cs, ss: ring === 0 ? Selector.DATA : Selector.USER_DATA }
    const top = ring === 0 ? Place.STACK0 : Place.USER_STACK
    g.probe(`JMP: ${name} from level ${ring}`, {
      ring, body: () => a.farJump(selector, at(target)), expect: { ...expect, rsp: top },
    })
    const back = a.fresh('back')
    g.probe(`CALL: ${name} from level ${ring}`, {
      ring, body: () => {
        a.farCall(selector, at(target))
        a.label(back)
      },
      expect: { ...expect, rsp: top - 8, rax: at(back), rbx: ring === 0 ? Selector.CODE32 : USER_CODE },
    })
  }
}

/** Call gates of both widths to every inner level, with parameters, and back by RET n. */
function addGates(g: Guest): void {
  const { a } = g
  const stackOf: Record<number, readonly [number, number, number]> = {
    0: [Selector.CODE32, Selector.DATA, Place.INNER_STACK], 1: [Own.CODE1, Own.DATA1, STACK1], 2: [Own.CODE2, Own.DATA2, STACK2],
  }
  for (const level of [0, 1, 2]) for (const width of [32, 16] as const) for (const count of [0, 2, 31]) {
    const [code, ss, top] = stackOf[level]
    const bytes = width / 8
    // A 16-bit gate reaches the first 64 KiB.
    const low = width === 16
    const selector = low ? Own.GATES + 0x100 + (lowGates++) * 8 : addGate(g)
    const show = (): void => { showStack(a, width); a.int(DONE) }
    const target = low ? lowCode(g, show) : g.inUserPages(32, show)
    const back = a.fresh('back')
    const pushed = (n: number): number => width === 32 ? 0x11110000 + n : n
    gatePatches.push(() => g.gdt(selector, gate(low ? Gate.CALL16 : Gate.CALL32, 3, code, a.addressOf(target), count)))
    g.probe(`CALL: ${width}-bit gate to level ${level} with ${count} parameters`, {
      ring: 3, body: () => {
        for (let n = count; n > 0; n--) a.push(pushed(n), width)
        a.farCall(selector | 3, 0xdeadbeef)
        a.label(back)
      },
      expect: {
        vector: DONE, cs: code, ss, rsp: top - bytes * (count + 4),
        rax: width === 32 ? at(back) : lowWord(at(back)), rbx: USER_CODE,
        rcx: count > 0 ? pushed(1) : width === 32 ? Place.USER_STACK : Place.USER_STACK & 0xffff,
        rdx: count > 0 ? pushed(2) : Selector.USER_DATA,
        ...count === 2 ? {
          rsi: (Place.USER_STACK - 2 * bytes) & (width === 32 ? 0xffffffff : 0xffff), rdi: Selector.USER_DATA,
        } : {},
      },
    })
  }
}
let lowGates = 0
const gatePatches: (() => void)[] = []
/** Labels of user code are above 64 KiB: a 16-bit gate pushes their low word. */
const lowWord = (address: { label: string, plus: number }): {
  label: string, plus: number, mask: number,
} => ({ ...address, mask: 0xffff })

/** Code that a 16-bit offset reaches. */
function lowCode(g: Guest, write: () => void): string {
  const label = g.a.fresh('low')
  g.elsewhere(Place.CODE16, 32, () => {
    g.a.label(label)
    write()
  })
  return label
}

function addGateReturns(g: Guest): void {
  const { a } = g
  for (const release of [0, 8]) {
    const selector = addGate(g)
    const target = g.inUserPages(32, () => a.farReturn(32, release))
    gatePatches.push(() => g.gdt(selector, gate(Gate.CALL32, 3, Own.CODE1, a.addressOf(target), release / 4)))
    const back = a.fresh('back')
    g.probe(`RET ${release}: back to level 3 through a gate`, {
      ring: 3, body: () => {
        a.push(1)
        a.push(2)
        a.farCall(selector | 3, 0)
        a.label(back)
      },
      expect: { vector: DONE, cs: USER_CODE, ss: Selector.USER_DATA, rip: at(back, 2), rsp: Place.USER_STACK - 8 + release },
    })
  }
  // Data segments that the outer level may not have become null.
  const [toRet, toConforming] = [0, 1].map(() => addGate(g))
  const loader = g.inUserPages(32, () => {
    a.mov('eax', Selector.DATA)
    a.mov('ds', 'ax')
    a.mov('eax', Own.CONFORMING0)
    a.mov('fs', 'ax')
    a.mov('eax', Own.DATA1)
    a.mov('es', 'ax')
    a.mov('eax', 3)
    a.mov('gs', 'ax')
    a.farReturn(32)
  })
  gatePatches.push(() => {
    g.gdt(toRet, gate(Gate.CALL32, 3, Selector.CODE32, a.addressOf(loader)))
    g.gdt(toConforming, gate(Gate.CALL32, 3, Own.CONFORMING0, a.addressOf(loader)))
  })
  g.probe('RET: inner data segments become null', {
    ring: 3, body: () => a.farCall(toRet | 3, 0),
    expect: { vector: DONE, cs: USER_CODE, ds: 0, es: 0, fs: Own.CONFORMING0, gs: 0 },
  })
  g.probe('CALL: a gate to conforming code keeps the level', {
    ring: 3, body: () => a.farCall(toConforming | 3, 0),
    expect: { vector: GP, error: Selector.DATA, cs: Own.CONFORMING0 | 3, rsp: Place.USER_STACK - 8 },
  })
}

/** Gates that refuse, with the selector of the gate or of its target, and stacks of the TSS that are bad. */
function addGateRefusals(g: Guest): void {
  const { a } = g
  const refused = (name: string, value: bigint, expect: Expectation, ring: Ring = 3, rpl = 3, jumpVector = expect.vector): void => {
    const selector = addGate(g, value)
    for (const jump of [false, true]) {
      if (jump && expect.vector !== GP && expect.vector !== NP) continue
      const label = a.fresh('gate')
      const error = expect.error === -2 ? selector : expect.error
      g.probe(`${jump ? 'JMP' : 'CALL'} through a gate: ${name}`, {
        ring, body: () => {
          a.label(label)
          if (jump) a.farJump(selector | rpl, 0)
          else a.farCall(selector | rpl, 0)
        },
        expect: {
          rip: at(label), ...expect, vector: jump ? jumpVector : expect.vector, error, cs: ring === 3 ? USER_CODE : Selector.CODE32,
          rsp: ring === 3 ? Place.USER_STACK : Place.STACK0,
        },
      })
    }
  }
  const GATE = -2
  const good = 0x100000
  refused('DPL below CPL', gate(Gate.CALL32, 0, Selector.CODE32, good), { vector: GP, error: GATE }, 3, 0)
  refused('DPL below RPL', gate(Gate.CALL32, 0, Selector.CODE32, good), { vector: GP, error: GATE }, 0, 3)
  refused('absent', gate(Gate.CALL32, 3, Selector.CODE32, good, 0, false), { vector: NP, error: GATE })
  refused('null target', gate(Gate.CALL32, 3, 0, good), { vector: GP, error: 0 })
  refused('target beyond the table', gate(Gate.CALL32, 3, Own.BEYOND, good), { vector: GP, error: Own.BEYOND })
  refused('target is data', gate(Gate.CALL32, 3, Selector.DATA, good), { vector: GP, error: Selector.DATA })
  // JMP may not go to level 0 in the first place.
  refused('target absent', gate(Gate.CALL32, 3, Own.ABSENT, good), { vector: NP, error: Own.ABSENT }, 3, 3, GP)
  refused('target of an outer level', gate(Gate.CALL32, 3, USER_CODE, good), { vector: GP, error: USER_CODE & ~3 }, 0, 0)
  refused('an interrupt gate', gate(Gate.INTERRUPT32, 3, Selector.CODE32, good), { vector: GP, error: GATE })
  const jumpInner = addGate(g, gate(Gate.CALL32, 3, Selector.CODE32, good))
  g.probe('JMP through a gate to an inner level', {
    ring: 3, body: () => a.farJump(jumpInner | 3, 0), expect: { vector: GP, error: Selector.CODE32, cs: USER_CODE },
  })
  addBadStacks(g)
}

/** The TSS's stack for the inner level: #TS names it, #SS that it is absent or too small. */
function addBadStacks(g: Guest): void {
  const { a } = g
  const toLevel1 = addGate(g, gate(Gate.CALL32, 3, Own.CODE1, 0x100000))
  const rows: readonly (readonly [string, number, number, number, number])[] = [
    ['null', 0, STACK1, TS, 0], ['beyond the table', Own.BEYOND | 1, STACK1, TS, Own.BEYOND],
    ['of another level', Selector.DATA, STACK1, TS, Selector.DATA],
    ['with another RPL', Own.DATA1 & ~3, STACK1, TS, Own.DATA1 & ~3], ['code', Own.CODE1, STACK1, TS, Own.CODE1 & ~3],
    ['absent', FREE + 0x60 | 1, STACK1, SS, FREE + 0x60], ['without room', FREE + 0x68 | 1, 0x1004, SS, FREE + 0x68],
  ]
  g.gdt(FREE + 0x60, segment(0, 0xfffff, 0x32, BIG | PAGES))
  g.gdt(FREE + 0x68, segment(0, 0x1000, 0xb2, BIG))
  for (const [name, ss, esp, vector, error] of rows) {
    const label = a.fresh('gate')
    g.probe(`CALL through a gate: the inner stack is ${name}`, {
      ring: 3, setup: () => {
        a.store(mem(Place.TSS + 12), esp, 32)
        a.store(mem(Place.TSS + 16), ss, 32)
      },
      body: () => {
        a.label(label)
        a.farCall(toLevel1 | 3, 0)
      },
      expect: { vector, error, rip: at(label), cs: USER_CODE, ss: Selector.USER_DATA, rsp: Place.USER_STACK },
      after: () => {
        a.store(mem(Place.TSS + 12), STACK1, 32)
        a.store(mem(Place.TSS + 16), Own.DATA1, 32)
      },
    })
  }
}

/** RET and IRET: to every outer level, refusals, 16-bit operands and stacks. */
function addReturns(g: Guest): void {
  const { a } = g
  const target = g.inUserPages(32, () => a.int(DONE))
  const frame = (
    kind: 'RET' | 'IRET', cs: number, ss: number, flags: number, bits: 16 | 32 = 32,
    offset: Parameters<Assembler['push']>[0] = at(target),
  ): void => {
    a.push(ss, bits)
    a.push(Place.USER_STACK, bits)
    if (kind === 'IRET') a.push(flags, bits)
    a.push(cs, bits)
    a.push(offset, bits)
  }
  const go = (kind: 'RET' | 'IRET', bits: 16 | 32 = 32): void => kind === 'RET' ? a.farReturn(bits) : a.iret(bits)
  for (const kind of ['RET', 'IRET'] as const) {
    const rows: readonly (readonly [string, number, number])[] = [
      ['level 3', USER_CODE, Selector.USER_DATA], ['level 1', Own.CODE1, Own.DATA1], ['level 2', Own.CODE2, Own.DATA2],
      ['conforming level 0 as level 3', Own.CONFORMING0 | 3, Selector.USER_DATA],
    ]
    for (const [name, cs, ss] of rows) {
      g.probe(`${kind}: to ${name}`, {
        setup: () => frame(kind, cs, ss, 2), body: () => go(kind),
        expect: { vector: DONE, cs, ss, rsp: Place.USER_STACK, ds: 0 },
      })
    }
    const refusals: readonly (readonly [string, number, number, number, number])[] = [
      ['null CS', 0, Selector.USER_DATA, GP, 0], ['CS beyond the table', Own.BEYOND | 3, Selector.USER_DATA, GP, Own.BEYOND],
      ['CS is data', Selector.DATA, Selector.USER_DATA, GP, Selector.DATA],
      ['CS of level 3 with RPL 0', USER_CODE & ~3, Selector.USER_DATA, GP, USER_CODE & ~3],
      ['CS of level 0 with RPL 3', Selector.CODE32 | 3, Selector.USER_DATA, GP, Selector.CODE32],
      ['CS absent', Own.ABSENT, Selector.USER_DATA, NP, Own.ABSENT], ['SS null', USER_CODE, 3, GP, 0],
      ['SS of another level', USER_CODE, Own.DATA1, GP, Own.DATA1 & ~3],
      ['SS with another RPL', USER_CODE, Selector.USER_DATA & ~3, GP, Selector.USER_DATA & ~3],
      ['SS is code', USER_CODE, USER_CODE, GP, USER_CODE & ~3], ['SS absent', USER_CODE, (FREE + 0x70) | 3, SS, FREE + 0x70],
      ['SS beyond the table', USER_CODE, Own.BEYOND | 3, GP, Own.BEYOND],
    ]
    g.gdt(FREE + 0x70, segment(0, 0xfffff, 0x72, BIG | PAGES))
    for (const [name, cs, ss, vector, error] of refusals) {
      const label = a.fresh('ret')
      g.probe(`${kind} refused: ${name}`, {
        setup: () => frame(kind, cs, ss, 2),
        body: () => {
          a.label(label)
          go(kind)
        },
        expect: { vector, error, rip: at(label), cs: Selector.CODE32, rsp: Place.STACK0 - (kind === 'IRET' ? 20 : 16) },
      })
    }
    g.probe(`${kind}: to an inner level is refused`, {
      ring: 3, setup: () => undefined, body: () => {
        frame(kind, Selector.CODE32, Selector.DATA, 2)
        go(kind)
      },
      expect: { vector: GP, error: Selector.CODE32, cs: USER_CODE },
    })
    addNarrow(g, kind, frame, go)
  }
  addFlags(g)
}

type FrameWriter = (
  kind: 'RET' | 'IRET', cs: number, ss: number, flags: number, bits?: 16 | 32, offset?: Parameters<Assembler['push']>[0],
) => void

/** To a 16-bit stack only SP is loaded; a 16-bit operand clears the high half of ESP on a 32-bit stack. */
function addNarrow(g: Guest, kind: 'RET' | 'IRET', frame: FrameWriter, go: (kind: 'RET' | 'IRET', bits?: 16 | 32) => void): void {
  const { a } = g
  g.probe(`${kind}: to a 16-bit stack leaves the high half of ESP`, {
    setup: () => frame(kind, USER_CODE, Own.DATA16_3, 2), body: () => go(kind),
    expect: { vector: DONE, cs: USER_CODE, ss: Own.DATA16_3, rsp: 0x370000 | (Place.USER_STACK & 0xffff) },
  })
  const low = g.a.fresh('narrow')
  g.elsewhere(Place.USER_DATA, 16, () => {
    a.label(low)
    a.int(DONE)
  })
  g.probe(`${kind}: 16-bit operand to 16-bit code and stack`, {
    setup: () => frame(kind, Own.CODE16_3, Own.DATA16_3, 2, 16, lowWord(at(low))), body: () => go(kind, 16),
    expect: { vector: DONE, cs: Own.CODE16_3, ss: Own.DATA16_3, rip: { label: low, plus: 2 - Place.USER_DATA } },
  })
  g.probe(`${kind}: 16-bit operand to a 32-bit stack`, {
    setup: () => frame(kind, Own.CODE16_3, Selector.USER_DATA, 2, 16, lowWord(at(low))), body: () => go(kind, 16),
    expect: { vector: DONE, cs: Own.CODE16_3, ss: Selector.USER_DATA, rsp: Place.USER_STACK & 0xffff },
  })
}

/** Which flags IRET and POPF load at levels 0 and 3. */
function addFlags(g: Guest): void {
  const { a } = g
  const all = 0x3f7fd7 & ~(Flag.TF | Flag.NT)
  const target = g.inUserPages(32, () => a.int(DONE))
  g.probe('flags: IRET at level 0 loads all but VM', {
    setup: () => {
      a.push(all & ~0x20000)
      a.push(Selector.CODE32)
      a.push(at(target))
    },
    body: () => a.iret(), expect: { vector: DONE, flags: all & ~(0x20000 | Flag.RF), flagsMask: 0x3effff },
  })
  g.probe('flags: IRET at level 3 leaves IF, IOPL, VIF and VIP', {
    ring: 3, flags: 2, body: () => {
      a.push(all & ~0x20000)
      a.push(USER_CODE)
      a.push(at(target))
      a.iret()
    },
    expect: {
      vector: DONE, flags: (all & ~0x20000 & ~(0x3000 | Flag.IF | Flag.VIF | Flag.VIP | Flag.RF)) | 2, flagsMask: 0x3effff,
    },
  })
  for (const [iopl, ring] of [[0, 0], [0, 3], [3, 3]] as const) {
    const loads = 0x244dd5 | (ring <= iopl ? Flag.IF : 0) | (ring === 0 ? 0x3000 : 0)
    g.probe(`flags: POPF at level ${ring} with IOPL ${iopl}`, {
      ring, flags: iopl << 12 | 2, body: () => {
        a.push(0x3f7ed5 & ~Flag.NT)
        a.popf()
      },
      expect: {
        vector: DONE, flags: (0x3f7ed5 & ~Flag.NT & loads & ~0x20000) | 2 | (ring === 0 ? 0 : iopl << 12), flagsMask: 0x3fffff,
      },
    })
  }
  g.probe('flags: 16-bit POPF leaves the high half', {
    flags: Flag.ID | Flag.AC | 2, body: () => {
      a.push(Flag.DF, 16)
      a.popf(16)
    },
    expect: { vector: DONE, flags: Flag.ID | Flag.AC | Flag.DF | 2 },
  })
  for (const [name, byte] of [['CLI', 0xfa], ['STI', 0xfb]] as const) {
    g.probe(`flags: ${name} at level 3 with IOPL 0`, { ring: 3, body: () => a.db(byte), expect: { vector: GP, error: 0 } })
    g.probe(`flags: ${name} at level 3 with IOPL 3`, {
      ring: 3, flags: 0x3002, body: () => a.db(byte), expect: { vector: DONE, flags: 0x3002 | (byte === 0xfb ? Flag.IF : 0) },
    })
  }
}

/** 16-bit code: JMP there and back, and what a 16-bit CALL pushes. */
function addSizes(g: Guest): void {
  const { a } = g
  const label = a.fresh('sixteen')
  g.elsewhere(Place.ENTRY + 0x1000, 16, () => {
    a.label(label)
    a.mov('eax', mem('esp', 0))
    a.int(DONE)
  })
  const back = a.fresh('back')
  g.probe('sizes: 16-bit CALL from 32-bit code', {
    setup: () => {
      a.mov('eax', 0)
      a.push(0x55aa55aa)
    },
    body: () => {
      a.farCall(Selector.CODE16, at(label), 16)
      a.label(back)
    },
    expect: { vector: DONE, cs: Selector.CODE16, rsp: Place.STACK0 - 8 },
  })
  g.probe('sizes: 32-bit JMP to 16-bit code beyond its limit', {
    body: () => a.farJump(Selector.CODE16, 0x10000), expect: { vector: GP, error: 0, cs: Selector.CODE32 },
  })
}

export function farTransferGuests(): Guest[] {
  gates = lowGates = 0
  gatePatches.length = 0
  const g = new Guest('far transfers', 'protected')
  define(g)
  addRefusals(g)
  addDirect(g)
  addGates(g)
  addGateReturns(g)
  addGateRefusals(g)
  addReturns(g)
  addSizes(g)
  for (const patch of gatePatches) patch()
  return [g]
}
