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
import { Place, Selector, Variable } from './layout.ts'
import { writeProtected } from './monitor-protected.ts'
import { writeReal } from './monitor-real.ts'
import { DONE, OBSERVED } from './record.ts'
import { fillTables } from './scene.ts'

export { DONE } from './record.ts'

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

const NO_ERROR = -1

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
  readonly options: GuestOptions
  private readonly words = new Map<number, { value: bigint, size: number }>()
  private built: readonly Piece[] | undefined

  constructor(name: string, mode: Mode, options: GuestOptions = {}) {
    this.name = name
    this.mode = mode
    this.options = options
    this.a = new Assembler(Place.ENTRY, 16)
    fillTables(this)
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

  private writeEntry(): void {
    const { a } = this
    a.cli()
    a.xor('ax', 'ax')
    for (const name of ['ds', 'es', 'ss']) a.mov(name, 'ax')
    for (const name of ['eax', 'ecx', 'edx', 'ebx', 'ebp', 'esi', 'edi']) a.xor(name, name)
    a.mov('esp', Place.REAL_STACK)
    // CLD, FNINIT.
    a.db(0xfc, 0xdb, 0xe3)
    if (this.mode === 'real') writeReal(this)
    else writeProtected(this)
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
