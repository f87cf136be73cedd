/** Virtual-8086 mode: what IOPL, the I/O map and VME make of sensitive instructions (SDM Vol. 3A chapter 20). */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Flag, Place } from './layout.ts'
import { Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [BP, OF, UD, SS, GP] = [3, 4, 6, 12, 13]
const VM = Flag.VM
const CODE_PARAGRAPH = 0x800
const STACK_PARAGRAPH = 0x300
const SP = 0x800
const SEGMENTS = { es: 0x1001, ds: 0x1002, fs: 0x1003, gs: 0x1004 } as const

interface Options {
  readonly iopl?: number
  readonly flags?: number
  readonly cr4?: number
  readonly setup?: (a: Assembler) => void
  readonly after?: (a: Assembler) => void
}

/** A piece of 8086 code that raises an exception at its start, or ends in UD2. */
function inVirtual(
  g: Guest, name: string, body: (a: Assembler, label: string) => void, expect: Expectation, options: Options = {},
): void {
  const { a } = g
  const label = a.fresh('v86')
  g.elsewhere(Place.CODE16, 16, () => {
    a.label(label)
    body(a, label)
    a.label(`${label}.end`)
    a.db(0x0f, 0x0b)
  })
  const iopl = options.iopl ?? 3
  const flags = VM | 2 | (iopl << 12) | (options.flags ?? 0)
  const base = CODE_PARAGRAPH << 4
  const place = (where: Expectation['rip']): Expectation['rip'] =>
    where === undefined ? { label, plus: -base } : typeof where === 'object' ? { ...where, plus: where.plus - base } : where
  g.probe(`${name}, IOPL ${iopl}${options.cr4 === 1 ? ', VME' : ''}`, {
    setup: () => {
      a.mov('eax', (options.cr4 ?? 0) | (g.mode === 'legacy' ? 0x10 : 0))
      a.mov('cr4', 'eax')
      a.mov('eax', 0)
      options.setup?.(a)
    },
    body: () => {
      for (const selector of [
        SEGMENTS.gs, SEGMENTS.fs, SEGMENTS.ds, SEGMENTS.es, STACK_PARAGRAPH, SP, flags, CODE_PARAGRAPH,
      ]) a.push(selector)
      a.push(at(label, -base))
      a.iret()
    },
    expect: { cs: CODE_PARAGRAPH, ss: STACK_PARAGRAPH, ...SEGMENTS, ...expect, rip: place(expect.rip) },
    after: options.after,
  })
}

/** The end of the body, where UD2 stands. */
const ends = (label: string): Expectation['rip'] => at(`${label}.end`)

/** A body that runs to its end. */
function runs(g: Guest, name: string, body: (a: Assembler) => void, expect: Expectation, options: Options = {}): void {
  let own = ''
  inVirtual(g, name, (a, label) => {
    own = label
    body(a)
  }, { vector: UD, get rip() { return ends(own) }, ...expect }, options)
}

function addSensitive(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, readonly number[]])[] = [
    ['CLI', [0xfa]], ['STI', [0xfb]], ['PUSHF', [0x9c]], ['POPF', [0x9d]], ['PUSHFD', [0x66, 0x9c]], ['POPFD', [0x66, 0x9d]],
    ['INT 0x33', [0xcd, 0x33]],
    ['IRET', [0xcf]], ['IRETD', [0x66, 0xcf]],
  ]
  for (const [name, bytes] of rows) inVirtual(g, name, () => a.db(...bytes), {
    vector: GP, error: 0, rsp: SP, flags: VM | 2 | Flag.RF,
  }, { iopl: 0 })
  for (const [name, bytes] of rows.filter(([row]) => row.includes('PUSHFD') || row.includes('POPFD') || row.includes('IRETD'))) {
    inVirtual(g, name, () => a.db(...bytes), { vector: GP, error: 0, rsp: SP }, { iopl: 0, cr4: 1 })
  }
  runs(g, 'CLI and STI', () => { a.sti() }, { flags: VM | 0x3202 | Flag.RF })
  runs(g, 'PUSHF', () => { a.pushf(); a.pop('bx') }, { rbx: 0x3002, rsp: SP })
  runs(g, 'PUSHFD shows no VM', () => { a.pushf(32); a.pop('ebx') }, { rbx: 0x3002 })
  runs(g, 'POPF leaves IOPL', () => { a.push(0x0ed7); a.popf() }, { flags: VM | 0x3e02 | Flag.RF, flagsMask: 0x3ff700 })
  runs(g, 'IRET', () => {
    a.push(0x202)
    a.push(CODE_PARAGRAPH)
    a.push(at('v86-iret', -(CODE_PARAGRAPH << 4)))
    a.iret()
    a.label('v86-iret')
  },
    { flags: VM | 0x3202 | Flag.RF, rsp: SP })
  const software = a.fresh('int')
  inVirtual(g, 'INT 0x33 through a gate of level 3', () => { a.int(0x33); a.label(software) }, {
    vector: 0x33, rip: at(software), rsp: SP, flags: VM | 0x3002,
  })
  inVirtual(g, 'INT 0x45 through a gate of level 0', () => a.int(0x45), { vector: GP, error: 0x45 * 8 + 2 })
  for (const iopl of [0, 3]) {
    const trap = a.fresh('int3')
    inVirtual(g, 'INT3', () => { a.db(0xcc); a.label(trap) }, { vector: BP, rip: at(trap) }, { iopl })
    const overflow = a.fresh('into')
    inVirtual(g, 'INTO', () => { a.db(0xce); a.label(overflow) }, { vector: OF, rip: at(overflow) }, { iopl, flags: 0x800 })
  }
}

function addPrivileged(g: Guest): void {
  const { a } = g
  for (const [name, bytes] of [
    ['HLT', [0xf4]], ['LGDT', [0x0f, 0x01, 0x16, 0, 0]], ['LMSW', [0x0f, 0x01, 0xf0]], ['MOV from CR0', [0x0f, 0x20, 0xc0]],
    ['CLTS', [0x0f, 0x06]],
    ['MOV from DR7', [0x0f, 0x21, 0xf8]], ['RDMSR', [0x0f, 0x32]], ['INVLPG', [0x0f, 0x01, 0x3e, 0, 0]], ['WBINVD', [0x0f, 0x09]],
    ['SYSEXIT', [0x0f, 0x35]],
  ] as const) inVirtual(g, name, () => a.db(...bytes), { vector: GP, error: 0 })
  for (const [name, bytes] of [
    ['SLDT', [0x0f, 0x00, 0xc0]], ['STR', [0x0f, 0x00, 0xc8]], ['LLDT', [0x0f, 0x00, 0xd0]], ['LTR', [0x0f, 0x00, 0xd8]],
    ['VERR', [0x0f, 0x00, 0xe0]],
    ['LAR', [0x0f, 0x02, 0xc0]], ['LSL', [0x0f, 0x03, 0xc0]], ['ARPL', [0x63, 0xc0]],
  ] as const) inVirtual(g, name, () => a.db(...bytes), { vector: UD })
  inVirtual(g, 'SYSENTER without SYSENTER_CS', () => a.db(0x0f, 0x34), { vector: GP, error: 0 })
  runs(g, 'SMSW', () => a.db(0x0f, 0x01, 0xe3), { vector: UD })
  const map = Place.TSS + 0x68
  const ports = (b: Assembler): void => {
    b.store(mem(Place.TSS + 102), 0x68, 16)
    b.store(mem(map + 0x10), 0xff08, 16)
  }
  runs(g, 'IN of a port that the map allows', () => { a.mov('dx', 0x80); a.db(0xec) }, {}, { iopl: 0, setup: ports })
  inVirtual(g, 'IN of a port that the map forbids', () => a.db(0xec), { vector: GP, error: 0 }, {
    setup: (b) => { ports(b); b.mov('edx', 0x83) },
  })
}

function addMemory(g: Guest): void {
  const { a } = g
  inVirtual(g, 'a word at 0xffff', () => a.mov('ax', mem(0xffff)), { vector: GP, error: 0 })
  inVirtual(g, 'a word at 0xffff of SS', () => a.mov('ax', mem(0xffff, 0, 'ss')), { vector: SS, error: 0 })
  runs(g, 'a load of DS', () => { a.mov('ax', 0x1234); a.mov('ds', 'ax') }, { ds: 0x1234 })
  runs(g, 'data by DS', () => {
    a.mov('bx', 0x4321)
    a.mov(mem(0x10), 'bx')
    a.mov('ecx', 0)
    a.mov('cx', mem(0, 0, 'fs'))
  }, { rcx: 0x4321 })
  runs(g, 'a far CALL and RET', () => {
    a.farCall(CODE_PARAGRAPH - 0x100, at('v86-far', -(CODE_PARAGRAPH << 4) + 0x1000))
    a.jmp('v86-back')
    a.label('v86-far')
    a.mov('bx', 'cs')
    a.farReturn()
    a.label('v86-back')
  }, { rbx: CODE_PARAGRAPH - 0x100, rsp: SP })
}

/** CR4.VME: VIF in place of IF, and the redirection map. */
function addVme(g: Guest): void {
  const { a } = g
  const vme = { iopl: 0, cr4: 1 } as const
  const RF = Flag.RF
  runs(g, 'STI sets VIF', () => a.sti(), { flags: VM | Flag.VIF | RF | 2 }, vme)
  runs(g, 'CLI clears VIF', () => a.cli(), { flags: VM | RF | 2 }, { ...vme, flags: Flag.VIF })
  runs(g, 'CLI leaves IF', () => a.cli(), { flags: VM | RF | Flag.IF | 2 }, { ...vme, flags: Flag.VIF | Flag.IF })
  inVirtual(g, 'STI with VIP', () => a.sti(), { vector: GP, error: 0, flags: VM | Flag.VIP | RF | 2 }, { ...vme, flags: Flag.VIP })
  runs(g, 'PUSHF shows VIF as IF, and IOPL 3', () => { a.pushf(); a.pop('bx') }, { rbx: 0x3202 }, { ...vme, flags: Flag.VIF })
  runs(g, 'POPF loads VIF', () => { a.push(0x202); a.popf() }, { flags: VM | Flag.VIF | RF | 2 }, vme)
  inVirtual(g, 'POPF that sets TF', () => a.popf(), { vector: GP, error: 0 }, {
    ...vme, setup: (b) => b.store(mem((STACK_PARAGRAPH << 4) + SP), 0x102, 16),
    after: (b) => b.store(mem((STACK_PARAGRAPH << 4) + SP), 2, 16),
  })
  runs(g, 'IRET loads VIF', () => {
    a.push(0x202)
    a.push(CODE_PARAGRAPH)
    a.push(at('vme-iret', -(CODE_PARAGRAPH << 4)))
    a.iret()
    a.label('vme-iret')
  },
    { flags: VM | Flag.VIF | RF | 2, rsp: SP }, vme)
  const redirect = (bit: number) => (b: Assembler): void => {
    b.store(mem(Place.TSS + 102), 0x88, 16)
    b.store(mem(Place.TSS + 0x68 + 6), bit << 3, 8)
    b.store(mem(0x33 * 4), at('vme-handler', 0), 16)
    b.store(mem(0x33 * 4 + 2), 0, 16)
    b.store(mem(Place.TSS + 0x88), 0xff, 8)
  }
  g.elsewhere(Place.CODE16 + 0x2000, 16, () => {
    a.label('vme-handler')
    a.pop('bx')
    a.pop('cx')
    a.pop('dx')
    a.label('vme-handled')
    a.db(0x0f, 0x0b)
  })
  const redirected = (flags: number, image: number, after: number, iopl: number): void => {
    const label = a.fresh('redirected')
    inVirtual(g, `INT 0x33 goes to the 8086 program with flags 0x${flags.toString(16)}`, () => { a.int(0x33); a.label(label) },
      {
        vector: UD, cs: 0, rip: { label: 'vme-handled', plus: CODE_PARAGRAPH << 4 }, rbx: { label, plus: -(CODE_PARAGRAPH << 4) },
        rcx: CODE_PARAGRAPH, rdx: image, flags: VM | 2 | RF | after,
      },
      { iopl, cr4: 1, flags, setup: redirect(0) })
  }
  redirected(Flag.VIF | Flag.IF, 0x3202, Flag.IF, 0)
  redirected(0, 0x3002, 0, 0)
  redirected(Flag.IF, 0x3202, 0x3000, 3)
  inVirtual(g, 'INT 0x33 that the map keeps', () => a.int(0x33), { vector: GP, error: 0 }, { ...vme, setup: redirect(1) })
  const kept = a.fresh('kept')
  inVirtual(
    g, 'INT 0x33 that the map keeps', () => { a.int(0x33); a.label(kept) }, { vector: 0x33, rip: at(kept) },
    { iopl: 3, cr4: 1, setup: redirect(1) },
  )
}

export function virtual8086Guests(): Guest[] {
  const g = new Guest('virtual-8086', 'protected')
  addSensitive(g)
  addPrivileged(g)
  addMemory(g)
  addVme(g)
  return [g]
}
