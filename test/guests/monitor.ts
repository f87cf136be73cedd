/**
 * The part of a guest that is the same in all of them: it enters a mode, catches every interrupt and exception and writes down what
 * it sees, and ends the machine.
 *
 * A guest is a row of *probes*. Each runs a piece of code that raises an exception or ends in INT 0x80; either way the monitor's
 * handler writes a record (vector, error code, saved registers) and goes on with the next probe from a known state.
 */
import { Assembler, at, mem } from './assembler.ts'
import type { CodeBits, Immediate } from './assembler.ts'
import type { Machine } from '../../src/vmm/machine.ts'
import type { Ending } from './outcome.ts'
import { Access, Flags, Gate, P, PS, Place, RW, Selector, US, Variable, gate, segment } from './layout.ts'

export type Mode = 'real' | 'protected' | 'legacy' | 'pae' | 'long'

/** Fields of a record that a probe can expect. Addresses may be labels. */
export interface Expectation {
  readonly vector?: number
  readonly error?: number
  readonly rip?: Immediate
  readonly cs?: number
  readonly ss?: number
  readonly flags?: number
  /** Bits of `flags` that are compared; all but the arithmetic ones unless told. */
  readonly flagsMask?: number
  readonly rsp?: Immediate
  readonly cr2?: Immediate
  readonly rax?: Immediate
  readonly rbx?: Immediate
  readonly rcx?: Immediate
  readonly rdx?: Immediate
  readonly rsi?: Immediate
  readonly rdi?: Immediate
  readonly rbp?: Immediate
  readonly dr6?: Immediate
  /** Where the handler found its frame (the saved RIP), its SS, and the interrupted DS, ES, FS and GS. */
  readonly frame?: Immediate
  readonly handlerSs?: number
  readonly ds?: number
  readonly es?: number
  readonly fs?: number
  readonly gs?: number
}

/** A piece of a guest's memory. */
export interface Piece { readonly address: number, readonly bytes: Uint8Array }

/** Vector of a probe that ended without an exception, and of an observation. */
export const DONE = 0x80
export const OBSERVED = 0x1000
const NO_ERROR = -1

export interface ProbeOptions {
  readonly setup?: (a: Assembler) => void
  readonly body: (a: Assembler) => void
  /** Runs at level 0 after the record was written. */
  readonly after?: (a: Assembler) => void
  readonly ring?: 0 | 3
  /** Level 3 in long mode: 32 runs in compatibility mode. */
  readonly bits?: 32 | 64
  /** RFLAGS when the body starts. */
  readonly flags?: number
  readonly expect: Expectation
}

export interface Expected {
  readonly name: string
  readonly expect: Expectation
}

export interface GuestOptions {
  /** Of CR4, beside PAE where the mode needs it. */
  readonly cr4?: number
  /** Of CR0, beside PE, PG, WP, NE and ET. */
  readonly cr0?: number
}

/** Fields of a record, 8 bytes each, in order. */
export const RECORD_FIELDS = [
  'probe', 'error', 'rip', 'selectors', 'flags', 'rsp', 'cr2', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'dr6', 'handler',
  'segments', 'spare1', 'spare2', 'spare3',
] as const
export const RECORD_SIZE = RECORD_FIELDS.length * 8
const field = (name: typeof RECORD_FIELDS[number]): number => RECORD_FIELDS.indexOf(name) * 8
const ERROR_VECTORS = [8, 10, 11, 12, 13, 14, 17]
const EFER = 0xc0000080
const USER_VECTORS = [3, 4, DONE]

export class Guest {
  readonly a: Assembler
  readonly mode: Mode
  /** What the records should be, in order. */
  readonly expected: Expected[] = []
  readonly name: string
  /** How the guest should end. */
  ending: Ending = 'exit'
  /** Why QEMU cannot run this guest. */
  notInQemu?: string
  /** Called with each byte that the guest writes to port 0xe9 in Tenon. */
  onByte?: (value: number, machine: Machine) => void
  private readonly options: GuestOptions
  private readonly words = new Map<number, { value: bigint, size: number }>()
  private built: readonly Piece[] | undefined

  constructor(name: string, mode: Mode, options: GuestOptions = {}) {
    this.name = name
    this.mode = mode
    this.options = options
    this.a = new Assembler(Place.ENTRY, 16)
    this.fillTables()
    this.writeEntry()
  }

  get bits(): CodeBits { return this.mode === 'real' ? 16 : this.mode === 'long' ? 64 : 32 }
  get results(): number { return this.mode === 'real' ? Place.REAL_RESULTS : Place.RESULTS }

  // Memory.

  /** Puts a value into the guest's memory before it starts. The last one counts. */
  poke(address: number, value: bigint | number, size: 1 | 2 | 4 | 8 = 8): void {
    this.words.set(address, { value: BigInt.asUintN(8 * size, BigInt(value)), size })
  }
  gdt(selector: number, value: bigint): void { this.poke(Place.GDT + (selector & ~7), value) }
  ldt(selector: number, value: bigint): void { this.poke(Place.LDT + (selector & ~7), value) }
  /** Puts a gate into the IDT; 16 bytes in long mode, whose high half is zero. */
  idt(vector: number, value: bigint): void { this.poke(Place.IDT + vector * (this.mode === 'long' ? 16 : 8), value) }

  // Probes.

  probe(name: string, options: ProbeOptions): void {
    const { a } = this
    const next = a.fresh('next')
    this.begin(name, next, options.expect)
    options.setup?.(a)
    if (options.ring === 3) this.runAsUser(options)
    else {
      if (options.flags !== undefined) this.loadFlags(options.flags)
      options.body(a)
      a.int(DONE)
    }
    a.label(next)
    options.after?.(a)
  }

  /** Announces the record that comes next: the handler goes on at the label `next`. For bodies that `probe` does not fit. */
  begin(name: string, next: string, expect: Expectation): void {
    const { a } = this
    this.expected.push({ name, expect: { error: NO_ERROR, ...expect } })
    if (this.bits === 64) a.store(mem(Variable.RESUME), at(next), 64)
    else if (this.bits === 32) a.store(mem(Variable.RESUME), at(next), 32)
    else a.store(mem(Variable.RESUME), at(next), 16)
    a.store(mem(Variable.PROBE), this.expected.length - 1, this.bits === 16 ? 16 : 32)
  }

  /** Writes a record with the general registers as they are. */
  observe(name: string, expect: Expectation): void {
    const next = this.a.fresh('next')
    this.begin(name, next, { vector: OBSERVED, ...expect })
    this.a.call('monitor.observe')
    this.a.label(next)
  }

  /** PUSH and POPF. */
  loadFlags(flags: number): void {
    this.a.push(flags)
    this.a.popf()
  }

  /** Goes to a selector and a label or address at level 3 by IRET, with flat data segments. */
  enterUser(code: number, target: string | number, flags = 2): void {
    const { a } = this
    a.mov('eax', Selector.USER_DATA)
    for (const name of ['ds', 'es', 'fs', 'gs']) a.mov(name, 'ax')
    a.push(Selector.USER_DATA)
    a.push(Place.USER_STACK)
    a.push(flags)
    a.push(code)
    a.push(typeof target === 'string' ? at(target) : target)
    a.iret()
  }

  /** Assembles `body` where user programs are; returns its label. */
  inUserPages(bits: CodeBits, body: (a: Assembler) => void): string {
    const { a } = this
    const label = a.fresh('user')
    const [back, mode] = [a.here, a.mode]
    this.elsewhere(Place.USER_CODE, bits, () => {
      a.label(label)
      body(a)
    })
    if (a.here !== back || a.mode !== mode) throw new Error('the assembler lost its place')
    return label
  }

  /** Assembles at the end of another section, and comes back. */
  elsewhere(origin: number, bits: CodeBits, write: (a: Assembler) => void): void {
    const { a } = this
    const [home, mode] = [a.origin, a.mode]
    a.org(origin)
    a.use(bits)
    write(a)
    a.org(home)
    a.use(mode)
  }

  /** What lies where when the guest starts. No probe may be added afterwards. */
  get image(): readonly Piece[] {
    this.built ??= this.assemble()
    return this.built
  }

  private assemble(): readonly Piece[] {
    this.a.jmp('monitor.finish')
    const words = [...this.words].map(([address, { value, size }]) => ({
      address, bytes: Uint8Array.from({ length: size }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn)),
    }))
    return [...joined(words), ...this.a.finish()]
  }

  private runAsUser({ body, bits, flags }: ProbeOptions): void {
    const width = bits ?? (this.mode === 'long' ? 64 : 32)
    const label = this.inUserPages(width, (a) => {
      body(a)
      a.int(DONE)
    })
    this.enterUser(width === 64 ? Selector.USER_CODE64 : Selector.USER_CODE32, label, (flags ?? 0) | 2)
  }

  // The scene.

  private fillTables(): void {
    const { LONG, BIG, PAGES } = Flags
    const flat = (access: number, flags: number): bigint => segment(0, 0xfffff, access, flags | PAGES)
    const user = (access: number): number => access | 0x60
    this.gdt(Selector.CODE32, flat(Access.CODE, BIG))
    for (const data of [Selector.DATA, Selector.DATA_B, Selector.FAST_CODE32 + 8]) this.gdt(data, flat(Access.DATA, BIG))
    this.gdt(Selector.CODE64, flat(Access.CODE, LONG))
    this.gdt(Selector.USER_CODE32, flat(user(Access.CODE), BIG))
    for (const data of [
      Selector.USER_DATA, Selector.USER_DATA_B, Selector.FAST_CODE32 + 24,
    ]) this.gdt(data, flat(user(Access.DATA), BIG))
    this.gdt(Selector.USER_CODE64, flat(user(Access.CODE), LONG))
    this.gdt(Selector.FAST_CODE32, flat(Access.CODE, BIG))
    this.gdt(Selector.FAST_CODE32 + 16, flat(user(Access.CODE), BIG))
    this.gdt(Selector.CODE16, segment(0, 0xffff, Access.CODE))
    this.gdt(Selector.DATA16, segment(0, 0xffff, Access.DATA))
    this.gdt(Selector.TSS, segment(Place.TSS, 0x2068, Access.TSS32))
    this.gdt(Selector.LDT, segment(Place.LDT, 0x7ff, Access.LDT))
    // No I/O permission map: no port is for level 3.
    this.poke(Place.TSS + 102, 0xffff, 2)
    if (this.mode === 'long') this.fillLongTss()
    else {
      this.poke(Place.TSS + 4, Place.INNER_STACK, 4)
      this.poke(Place.TSS + 8, Selector.DATA, 4)
    }
    if (this.mode !== 'real' && this.mode !== 'protected') this.fillPageTables()
    this.poke(Variable.RESULT, this.mode === 'real' ? 0 : this.results, 8)
  }

  /** Level 0's stack lies lower than the interrupt stack 1 that all of the monitor's gates use. */
  private fillLongTss(): void {
    this.poke(Place.TSS + 4, Place.INNER_STACK - 0x4000)
    this.poke(Place.TSS + 0x24, Place.INNER_STACK)
  }

  /** The first 16 MiB as they are, the upper 4 of them for user programs too, and the APICs' registers. */
  private fillPageTables(): void {
    const { TABLES } = Place
    if (this.mode === 'legacy') {
      for (let n = 0; n < 4; n++) this.poke(TABLES + n * 4, BigInt(n << 22) | P | RW | PS | (n === 3 ? US : 0n), 4)
      this.poke(TABLES + (0xfec00000 / 2 ** 22) * 4, 0xfec00000n | P | RW | PS, 4)
      return
    }
    const pointers = this.mode === 'pae' ? TABLES : TABLES + 0x1000
    const upper = this.mode === 'pae' ? P : P | RW | US
    if (this.mode === 'long') this.poke(TABLES, BigInt(pointers) | upper)
    this.poke(pointers, BigInt(TABLES + 0x2000) | upper)
    this.poke(pointers + 24, BigInt(TABLES + 0x3000) | upper)
    for (let n = 0; n < 8; n++) this.poke(TABLES + 0x2000 + n * 8, BigInt(n << 21) | P | RW | PS | (n >= 6 ? US : 0n))
    for (let n = 0; n < 2; n++) this.poke(TABLES + 0x3000 + (0x1f6 + n) * 8, BigInt(0xfec00000 + n * 2 ** 21) | P | RW | PS)
  }

  private writeEntry(): void {
    const { a } = this
    a.cli()
    a.xor('ax', 'ax')
    for (const name of ['ds', 'es', 'ss']) a.mov(name, 'ax')
    for (const name of ['eax', 'ecx', 'edx', 'ebx', 'ebp', 'esi', 'edi']) a.xor(name, name)
    a.mov('esp', Place.REAL_STACK)
    // CLD, FNINIT.
    a.db(0xfc, 0xdb, 0xe3)
    if (this.mode === 'real') this.writeReal()
    else this.writeProtected()
  }

  private writeReal(): void {
    const { a } = this
    a.jmp('start')
    for (let vector = 0; vector < 256; vector++) {
      this.poke(vector * 4, a.here & 0xffff, 4)
      a.push(vector)
      a.jmp('monitor.catch')
    }
    this.writeRealHandler()
    a.org(Place.CODE16)
    a.label('start')
  }

  /** The frame: vector, IP, CS, FLAGS. Results go to ES:DI. */
  private writeRealHandler(): void {
    const { a } = this
    a.label('monitor.catch')
    a.push('ds')
    a.push('ax')
    a.xor('ax', 'ax')
    a.mov('ds', 'ax')
    a.mov(mem(Variable.RDI), 'edi')
    a.pop('ax')
    a.mov(mem(Variable.RAX), 'eax')
    a.pop('ax')
    a.mov(mem(Variable.DS), 'ax')
    a.pop('ax')
    this.realRecord(() => {
      a.mov(mem('di', 4, 'es'), 'ax')
      for (const [name, offset] of [['rip', 0], ['flags', 4]] as const) this.realStack(name, offset)
      this.realStack('selectors', 2)
      a.mov('ax', 'sp')
      a.add('ax', 6)
      a.mov(mem('di', field('rsp'), 'es'), 'ax')
      a.sub('ax', 6)
      a.mov(mem('di', field('handler'), 'es'), 'ax')
    })
    a.xor('ax', 'ax')
    for (const name of ['ds', 'es', 'ss', 'fs', 'gs']) a.mov(name, 'ax')
    a.mov('esp', Place.REAL_STACK)
    this.resume()
    a.label('monitor.observe')
    a.mov(mem(Variable.RAX), 'eax')
    a.mov(mem(Variable.RDI), 'edi')
    a.mov(mem(Variable.DS), 'ds')
    this.realRecord(() => {
      a.mov('ax', OBSERVED)
      a.mov(mem('di', 4, 'es'), 'ax')
    })
    a.mov('edi', mem(Variable.RDI))
    a.mov('eax', mem(Variable.RAX))
    a.ret()
    this.writeRealFinish()
  }

  private realStack(name: typeof RECORD_FIELDS[number], offset: number): void {
    const { a } = this
    a.mov('di', 'sp')
    a.mov('ax', mem('di', offset, 'ss'))
    a.mov('di', mem(Variable.RESULT))
    a.mov(mem('di', field(name), 'es'), 'ax')
  }

  /** ES:DI points to the record, which `fill` completes; AX is kept until then. ES is 0 afterwards. */
  private realRecord(fill: () => void): void {
    const { a } = this
    a.push('ax')
    a.mov('ax', 'es')
    a.push('ax')
    a.mov('ax', Place.REAL_RESULTS >> 4)
    a.mov('es', 'ax')
    a.mov('di', mem(Variable.RESULT))
    a.pop('ax')
    a.mov(mem('di', field('segments') + 2, 'es'), 'ax')
    a.mov('ax', mem(Variable.DS))
    a.mov(mem('di', field('segments'), 'es'), 'ax')
    a.mov(mem('di', field('segments') + 4, 'es'), 'fs')
    a.mov(mem('di', field('segments') + 6, 'es'), 'gs')
    a.mov(mem('di', field('selectors') + 4, 'es'), 'ss')
    a.mov(mem('di', field('handler') + 4, 'es'), 'ss')
    for (const name of ['rbx', 'rcx', 'rdx', 'rsi', 'rbp'] as const) a.mov(mem('di', field(name), 'es'), `e${name.slice(1)}`)
    a.mov('eax', mem(Variable.RAX))
    a.mov(mem('di', field('rax'), 'es'), 'eax')
    a.mov('eax', mem(Variable.RDI))
    a.mov(mem('di', field('rdi'), 'es'), 'eax')
    a.mov('eax', 'dr6')
    a.mov(mem('di', field('dr6'), 'es'), 'eax')
    a.mov('eax', mem(Variable.PROBE))
    a.mov(mem('di', 0, 'es'), 'ax')
    a.mov('eax', -1)
    a.mov(mem('di', field('error'), 'es'), 'eax')
    a.pop('ax')
    fill()
    a.mov('di', mem(Variable.RESULT))
    a.add('di', RECORD_SIZE)
    a.mov(mem(Variable.RESULT), 'di')
    a.xor('ax', 'ax')
    a.mov('es', 'ax')
  }

  private writeRealFinish(): void {
    const { a } = this
    a.label('monitor.finish')
    a.cli()
    a.mov('cx', mem(Variable.RESULT))
    a.mov('ax', mem(Variable.DUMP))
    a.test('ax', 1)
    a.jcc('e', 'monitor.end')
    a.mov('ax', Place.REAL_RESULTS >> 4)
    a.mov('ds', 'ax')
    a.xor('si', 'si')
    a.mov('dx', 0xe9)
    a.db(0xfc, 0xf3, 0x6e)
    a.label('monitor.end')
    a.out(0xf4)
    a.hlt()
  }

  private writeProtected(): void {
    const { a } = this
    a.lgdt(mem('monitor.gdtr'))
    a.mov('eax', 0x11)
    a.mov('cr0', 'eax')
    a.farJump(Selector.CODE32, at('monitor.32'), 32)
    a.align(8)
    a.label('monitor.gdtr')
    a.dw(0xfff)
    a.dd(Place.GDT)
    a.label('monitor.idtr')
    a.dw(0xfff)
    a.dq(Place.IDT)
    a.org(Place.CODE)
    a.use(32)
    a.label('monitor.32')
    this.loadData(Selector.DATA)
    a.mov('esp', Place.STACK0)
    this.startPaging()
    a.lidt(mem('monitor.idtr'))
    a.mov('ax', Selector.TSS)
    a.ltr('ax')
    a.jmp('start')
    this.writeStubs()
    if (this.bits === 64) this.writeHandler64()
    else this.writeHandler32()
    this.writeObserve()
    this.writeFinish()
    a.label('start')
  }

  private loadData(selector: number): void {
    const { a } = this
    a.mov('eax', selector)
    for (const name of ['ds', 'es', 'ss', 'fs', 'gs']) a.mov(name, 'eax'.slice(1))
  }

  private startPaging(): void {
    const { a, mode } = this
    const pae = mode === 'pae' || mode === 'long'
    const cr4 = (this.options.cr4 ?? 0) | (pae ? 0x20 : 0) | (mode === 'legacy' ? 0x10 : 0)
    a.mov('eax', cr4)
    a.mov('cr4', 'eax')
    if (mode !== 'protected') {
      a.mov('eax', Place.TABLES)
      a.mov('cr3', 'eax')
    }
    if (pae) a.wrmsr(EFER, mode === 'long' ? 0x901n : 0x800n)
    a.mov('eax', (mode === 'protected' ? 0x31 : 0x80010031) | (this.options.cr0 ?? 0))
    a.mov('cr0', 'eax')
    if (mode !== 'long') return
    a.farJump(Selector.CODE64, at('monitor.64'))
    a.use(64)
    a.label('monitor.64')
    this.loadData(Selector.DATA)
    a.mov('rsp', Place.STACK0)
  }

  private writeStubs(): void {
    const { a } = this
    const long = this.bits === 64
    for (let vector = 0; vector < 256; vector++) {
      const dpl = USER_VECTORS.includes(vector) || (vector >= 0x30 && vector < 0x40) ? 3 : 0
      this.idt(vector, gate(Gate.INTERRUPT32, dpl, long ? Selector.CODE64 : Selector.CODE32, a.here, long ? 1 : 0))
      if (!ERROR_VECTORS.includes(vector)) a.push(-1)
      a.push(vector)
      a.jmp('monitor.catch')
    }
  }

  private writeHandler64(): void {
    const { a } = this
    const at64 = (offset: number, name: typeof RECORD_FIELDS[number], width = 'rax'): void => {
      a.mov(width, mem('rsp', offset))
      a.mov(mem('rdi', field(name)), width)
    }
    a.label('monitor.catch')
    this.saveRegisters64()
    a.mov('eax', mem(Variable.PROBE))
    a.mov(mem('rdi', 0), 'eax')
    a.mov('eax', mem('rsp', 0))
    a.mov(mem('rdi', 4), 'eax')
    for (const [name, offset] of [['error', 8], ['rip', 16], ['flags', 32], ['rsp', 40]] as const) at64(offset, name)
    at64(24, 'selectors', 'eax')
    a.mov('eax', mem('rsp', 48))
    a.mov(mem('rdi', field('selectors') + 4), 'eax')
    a.lea('rax', mem('rsp', 16))
    a.mov(mem('rdi', field('handler')), 'rax')
    a.mov(mem('rdi', field('handler') + 4), 'ss')
    this.nextRecord('rdi')
    this.loadData(Selector.DATA)
    a.mov('rsp', Place.STACK0)
    this.resume()
  }

  /** Goes on with the next probe: no flag set, all registers zero. */
  private resume(): void {
    const { a } = this
    this.loadFlags(2)
    for (const name of ['eax', 'ecx', 'edx', 'ebx', 'ebp', 'esi', 'edi']) a.mov(name, 0)
    a.jmpTo(mem(Variable.RESUME))
  }

  private saveRegisters64(): void {
    const { a } = this
    a.mov(mem(Variable.RAX), 'rax')
    a.mov(mem(Variable.RDI), 'rdi')
    a.mov('rdi', mem(Variable.RESULT))
    for (const name of ['rbx', 'rcx', 'rdx', 'rsi', 'rbp'] as const) a.mov(mem('rdi', field(name)), name)
    a.mov('rax', mem(Variable.RAX))
    a.mov(mem('rdi', field('rax')), 'rax')
    a.mov('rax', mem(Variable.RDI))
    a.mov(mem('rdi', field('rdi')), 'rax')
    a.mov('rax', 'cr2')
    a.mov(mem('rdi', field('cr2')), 'rax')
    a.mov('rax', 'dr6')
    a.mov(mem('rdi', field('dr6')), 'rax')
    this.saveSegments('rdi', ['ds', 'es', 'fs', 'gs'])
  }

  private saveSegments(base: string, names: readonly string[]): void {
    names.forEach((name) => this.a.mov(mem(base, field('segments') + ['ds', 'es', 'fs', 'gs'].indexOf(name) * 2), name))
  }

  private nextRecord(pointer: string): void {
    this.a.add(pointer, RECORD_SIZE)
    this.a.mov(mem(Variable.RESULT), pointer)
  }

  /** The frame: vector, error code, EIP, CS, EFLAGS, and ESP and SS where the privilege level changed. */
  private writeHandler32(): void {
    const { a } = this
    a.label('monitor.catch')
    a.push('ds')
    a.push('eax')
    a.mov('eax', Selector.DATA)
    a.mov('ds', 'ax')
    a.mov(mem(Variable.RDI), 'edi')
    a.pop('eax')
    a.mov(mem(Variable.RAX), 'eax')
    a.pop('eax')
    a.mov(mem(Variable.DS), 'eax')
    this.saveRegisters32()
    a.mov('eax', mem(Variable.PROBE))
    a.mov(mem('edi', 0), 'eax')
    for (const [offset, place] of [
      [0, 4], [4, field('error')], [8, field('rip')], [12, field('selectors')], [16, field('flags')],
    ]) {
      a.mov('eax', mem('esp', offset))
      a.mov(mem('edi', place), 'eax')
    }
    this.saveStack32()
    a.lea('eax', mem('esp', 8))
    a.mov(mem('edi', field('handler')), 'eax')
    a.mov(mem('edi', field('handler') + 4), 'ss')
    this.nextRecord('edi')
    this.loadData(Selector.DATA)
    a.mov('esp', Place.STACK0)
    this.resume()
  }

  private saveRegisters32(): void {
    const { a } = this
    a.mov('edi', mem(Variable.RESULT))
    for (const name of ['rbx', 'rcx', 'rdx', 'rsi', 'rbp'] as const) a.mov(mem('edi', field(name)), `e${name.slice(1)}`)
    a.mov('eax', mem(Variable.RAX))
    a.mov(mem('edi', field('rax')), 'eax')
    a.mov('eax', mem(Variable.RDI))
    a.mov(mem('edi', field('rdi')), 'eax')
    a.mov('eax', 'cr2')
    a.mov(mem('edi', field('cr2')), 'eax')
    a.mov('eax', 'dr6')
    a.mov(mem('edi', field('dr6')), 'eax')
    a.mov('eax', mem(Variable.DS))
    a.mov(mem('edi', field('segments')), 'ax')
    this.saveSegments('edi', ['es', 'fs', 'gs'])
  }

  /** From another level ESP and SS are in the frame; from virtual-8086 mode the data segments as well. */
  private saveStack32(): void {
    const { a } = this
    a.lea('eax', mem('esp', 20))
    a.mov(mem('edi', field('rsp')), 'eax')
    a.mov(mem('edi', field('selectors') + 4), 'ss')
    a.mov('eax', mem('esp', 12))
    a.test('eax', 3)
    a.jcc('ne', 'monitor.outer')
    a.mov('eax', mem('esp', 16))
    a.test('eax', 0x20000)
    a.jcc('e', 'monitor.inner')
    for (const [offset, place] of [[28, 2], [32, 0], [36, 4], [40, 6]]) {
      a.mov('eax', mem('esp', offset))
      a.mov(mem('edi', field('segments') + place), 'ax')
    }
    a.label('monitor.outer')
    a.mov('eax', mem('esp', 20))
    a.mov(mem('edi', field('rsp')), 'eax')
    a.mov('eax', mem('esp', 24))
    a.mov(mem('edi', field('selectors') + 4), 'eax')
    a.label('monitor.inner')
  }

  private writeObserve(): void {
    const { a } = this
    const pointer = this.bits === 64 ? 'rdi' : 'edi'
    const accumulator = this.bits === 64 ? 'rax' : 'eax'
    a.label('monitor.observe')
    if (this.bits === 64) this.saveRegisters64()
    else {
      a.mov(mem(Variable.RAX), 'eax')
      a.mov(mem(Variable.RDI), 'edi')
      a.mov(mem(Variable.DS), 'ds')
      this.saveRegisters32()
    }
    a.mov('eax', mem(Variable.PROBE))
    a.mov(mem(pointer, 0), 'eax')
    a.store(mem(pointer, 4), OBSERVED, 32)
    a.store(mem(pointer, field('error')), -1, 32)
    a.store(mem(pointer, field('error') + 4), -1, 32)
    this.nextRecord(pointer)
    a.mov(accumulator, mem(Variable.RAX))
    a.mov(pointer, mem(Variable.RDI))
    a.ret()
  }

  private writeFinish(): void {
    const { a } = this
    a.label('monitor.finish')
    a.cli()
    a.mov('eax', mem(Variable.DUMP))
    a.test('eax', 1)
    a.jcc('e', 'monitor.end')
    a.mov('esi', this.results)
    a.mov('ecx', mem(Variable.RESULT))
    a.sub('ecx', 'esi')
    a.mov('edx', 0xe9)
    a.db(0xfc, 0xf3, 0x6e)
    a.label('monitor.end')
    a.out(0xf4)
    a.hlt()
  }
}

/** Joins neighbouring pieces. */
function joined(words: readonly { address: number, bytes: Uint8Array }[]): { address: number, bytes: Uint8Array }[] {
  const pieces: { address: number, bytes: number[] }[] = []
  for (const { address, bytes } of words.toSorted((x, y) => x.address - y.address)) {
    const last = pieces.at(-1)
    if (last !== undefined && last.address + last.bytes.length === address) last.bytes.push(...bytes)
    else pieces.push({ address, bytes: [...bytes] })
  }
  return pieces.map(({ address, bytes }) => ({ address, bytes: Uint8Array.from(bytes) }))
}
