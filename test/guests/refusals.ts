/** Values that control registers and MSRs refuse, and addresses that are not canonical (SDM Vol. 3A §2.5, Vol. 4). */
import { mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { HOLE, accumulator, raises } from './exceptions.ts'
import { Place, Selector } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

const [UD, SS, GP] = [6, 12, 13]
const { DATA } = Place

/** What control registers refuse. */
function addControl(g: Guest): void {
  const { a } = g
  const register = accumulator(g)
  const refuse = (name: string, to: string, value: bigint | number, vector: number = GP): void => {
    raises(g, `${to} refuses ${name}`, () => a.mov(to, register), {
      vector, ...vector === GP ? { error: 0 } : {},
    }, { setup: () => a.mov(register, value) })
  }
  refuse('PG without PE', 'cr0', 0x80000030)
  refuse('NW without CD', 'cr0', 0xa0010031)
  refuse('a bit that it does not have', 'cr4', 0x8000)
  refuse('a bit that it does not have', 'cr4', 0x80000000)
  for (const name of ['cr1', 'cr5', 'cr7']) refuse('to be there', name, 0, UD)
  if (g.bits === 64) {
    refuse('the high half', 'cr0', 0x180010031n)
    refuse('the high half', 'cr4', 0x100000020n)
    refuse('to leave PAE in long mode', 'cr4', 0)
    refuse('to stop paging in 64-bit mode', 'cr0', 0x31)
    refuse('addresses beyond 40 bits', 'cr3', 0x10000800000n)
    refuse('a priority above 15', 'cr8', 16)
    g.probe('cr8 takes a priority', {
      setup: () => a.mov('eax', 9), body: () => { a.mov('cr8', 'rax'); a.mov('rbx', 'cr8') }, expect: { vector: DONE, rbx: 9 },
      after: () => { a.mov('eax', 0); a.mov('cr8', 'rax') },
    })
  }
}

/** What MSRs refuse. */
function addMsrs(g: Guest): void {
  const { a } = g
  const msrs: readonly (readonly [string, number, bigint])[] = [
    ['an MSR that is not there', 0x12345678, 0n], ['a bit that EFER does not have', 0xc0000080, 0x10d00n],
    ['EFER.LME while paging', 0xc0000080, g.bits === 64 ? 0x800n : 0x900n],
    ['a high half of SYSENTER_CS', 0x174, 1n << 32n], ['a reserved PAT type', 0x277, 2n],
    ['a reserved bit of APIC_BASE', 0x1b, 0xfee00800n | 1n << 40n],
    ...g.bits === 64 ? [['a non-canonical LSTAR', 0xc0000082, HOLE], ['a non-canonical FS.base', 0xc0000100, HOLE], [
      'a non-canonical KERNEL_GS_BASE', 0xc0000102, HOLE,
    ],
      ['a non-canonical SYSENTER_EIP', 0x176, HOLE]] as const : [],
  ]
  for (const [name, index, value] of msrs) {
    raises(g, `WRMSR refuses ${name}`, () => a.db(0x0f, 0x30), { vector: GP, error: 0 }, {
      setup: () => { a.mov('ecx', index); a.mov('eax', value & 0xffffffffn); a.mov('edx', value >> 32n) },
    })
  }
  raises(
    g, 'RDMSR refuses an MSR that is not there', () => a.db(0x0f, 0x32), { vector: GP, error: 0 },
    { setup: () => a.mov('ecx', 0x12345678) },
  )
}

/** Non-canonical addresses: #GP, by the stack #SS, in every way to get one. */
function addCanonical(g: Guest): void {
  const { a } = g
  const hole = (b: Assembler): void => b.mov('rbx', HOLE)
  raises(g, 'canonical: load', () => a.mov('rcx', mem('rbx')), { vector: GP, error: 0 }, { setup: hole })
  raises(g, 'canonical: store', () => a.mov(mem('rbx'), 'rcx'), { vector: GP, error: 0 }, { setup: hole })
  raises(
    g, 'canonical: load that ends beyond', () => a.mov('rcx', mem('rbx')), { vector: GP, error: 0 },
    { setup: (b) => b.mov('rbx', HOLE - 4n) },
  )
  raises(
    g, 'canonical: load by RSP', () => a.mov('rcx', mem('rsp')), { vector: SS, error: 0, rsp: HOLE },
    { setup: (b) => b.mov('rsp', HOLE) },
  )
  raises(
    g, 'canonical: load by RBP', () => a.mov('rcx', mem('rbp')), { vector: SS, error: 0 }, { setup: (b) => b.mov('rbp', HOLE) },
  )
  raises(g, 'canonical: PUSH', () => a.push('rcx'), { vector: SS, error: 0 }, { setup: (b) => b.mov('rsp', HOLE + 8n) })
  raises(g, 'canonical: POP', () => a.pop('rcx'), { vector: SS, error: 0, rsp: HOLE }, { setup: (b) => b.mov('rsp', HOLE) })
  raises(
    g, 'canonical: CALL with a bad stack', () => a.call('start'), { vector: SS, error: 0 },
    { setup: (b) => b.mov('rsp', HOLE + 8n) },
  )
  raises(
    g, 'canonical: RET with a bad stack', () => a.ret(), { vector: SS, error: 0, rsp: HOLE }, { setup: (b) => b.mov('rsp', HOLE) },
  )
  raises(
    g, 'canonical: IRETQ with a bad stack', () => a.iret(), { vector: SS, error: 0, rsp: HOLE },
    { setup: (b) => b.mov('rsp', HOLE) },
  )
  raises(g, 'canonical: JMP to it', () => a.jmpTo('rbx'), { vector: GP, error: 0 }, { setup: hole })
  raises(g, 'canonical: CALL to it', () => a.callTo('rbx'), { vector: GP, error: 0, rsp: Place.STACK0 }, { setup: hole })
  raises(g, 'canonical: RET to it', () => a.ret(), {
    vector: GP, error: 0, rsp: Place.STACK0 - 8,
  }, { setup: (b) => { hole(b); b.push('rbx') } })
  raises(g, 'canonical: IRETQ to it', () => a.iret(), { vector: GP, error: 0, rsp: Place.STACK0 - 40 }, {
    setup: (b) => { hole(b); b.push(Selector.DATA); b.push(Place.STACK0); b.push(2); b.push(Selector.CODE64); b.push('rbx') },
  })
  raises(g, 'canonical: LGDT of such a base', () => a.lgdt(mem(DATA + 0x300)), { vector: GP, error: 0 }, {
    setup: (b) => { hole(b); b.store(mem(DATA + 0x300), 0xffff, 16); b.mov(mem(DATA + 0x302), 'rbx') },
  })
  raises(g, 'canonical: REP MOVSB from it', () => a.db(0xf3, 0xa4), { vector: GP, error: 0, rcx: 3 }, {
    setup: (b) => { b.mov('rsi', HOLE); b.mov('edi', DATA); b.mov('ecx', 3) },
  })
  g.probe('canonical: INVLPG of it is no fault', { setup: hole, body: () => a.invlpg(mem('rbx')), expect: { vector: DONE } })
  g.probe('canonical: LEA of it is no fault', {
    setup: hole, body: () => a.lea('rcx', mem('rbx', 1)), expect: { vector: DONE, rcx: HOLE + 1n },
  })
}

/** QEMU does as it is told, without paging for example. */
export function refusalGuests(): Guest[] {
  return (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`refused values ${mode}`, mode)
    g.notInQemu = 'takes most values'
    addControl(g)
    addMsrs(g)
    if (mode === 'long') addCanonical(g)
    return g
  })
}
