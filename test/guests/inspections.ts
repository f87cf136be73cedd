/**
 * LAR, LSL, VERR, VERW and ARPL on every descriptor type, in protected and long mode, and what CPUID says of the processor's state
 * (SDM Vol. 2A, Vol. 3A table 3-2).
 */
import { Flag, Selector } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

const FREE = Selector.FREE
const LIMIT = 0x1234

/** A descriptor with the access byte given. */
const withAccess = (access: number): bigint => (BigInt(access) << 40n) | BigInt(LIMIT) | (0x5n << 52n)

interface Subject {
  readonly access: number
  readonly selector: number
  readonly rpl: number
  readonly cpl: number
}

const dpl = ({ access }: Subject): number => (access >> 5) & 3
const isSystem = ({ access }: Subject): boolean => (access & 0x10) === 0
const isConforming = ({ access }: Subject): boolean => (access & 0x1c) === 0x1c
const isVisible = (one: Subject): boolean => isConforming(one) || (dpl(one) >= one.cpl && dpl(one) >= one.rpl)

/** Whether the instruction sets ZF. System types that LAR and LSL know; long mode knows those of 64 bits alone. */
function isValid(name: string, one: Subject, long: boolean): boolean {
  if (!isVisible(one)) return false
  const type = one.access & 15
  if (name === 'VERR') return !isSystem(one) && ((type & 8) === 0 || (type & 2) !== 0)
  if (name === 'VERW') return !isSystem(one) && (type & 8) === 0 && (type & 2) !== 0
  if (!isSystem(one)) return true
  const known = name === 'LAR' ? (long ? [2, 9, 11, 12] : [1, 2, 3, 4, 5, 9, 11, 12]) : long ? [2, 9, 11] : [1, 2, 3, 9, 11]
  return known.includes(type)
}

const OPCODES: Record<string, readonly number[]> = {
  // LAR EBX, EAX; LSL EBX, EAX; VERR AX; VERW AX.
  LAR: [0x0f, 0x02, 0xd8], LSL: [0x0f, 0x03, 0xd8], VERR: [0x0f, 0x00, 0xe0], VERW: [0x0f, 0x00, 0xe8],
}

/** What EBX holds afterwards. */
function result(name: string, one: Subject, valid: boolean): number {
  if (!valid || name.startsWith('V')) return 0x55555555
  return name === 'LAR' ? (one.access << 8) | 0x500000 : LIMIT
}

/** Every type at levels 0 and 3, present or not, seen from both levels. */
function addTypes(g: Guest, name: string): void {
  const { a } = g
  const kinds = Array.from({ length: 32 * 4 }, (_, n) => ({ type: n >> 2, level: n & 2 ? 3 : 0, present: n & 1 ? 0 : 0x80 }))
  for (const { type, level, present } of kinds) for (const cpl of [0, 3] as const) {
    const selector = FREE + 0x10 * (type * 4 + (level === 3 ? 2 : 0) + (present === 0 ? 1 : 0))
    const one: Subject = { access: present | (level << 5) | type, selector, rpl: cpl, cpl }
    g.gdt(selector, withAccess(one.access))
    g.gdt(selector + 8, 0n)
    const valid = isValid(name, one, g.mode === 'long')
    g.probe(`${name} of access 0x${one.access.toString(16)} at level ${cpl}`, {
      ring: cpl, setup: () => a.mov('ebx', 0x55555555),
      body: () => {
        a.mov('eax', selector | cpl)
        a.db(...OPCODES[name])
      },
      expect: { vector: DONE, flags: valid ? Flag.ZF : 0, flagsMask: Flag.ZF, rbx: result(name, one, valid) },
    })
  }
}

function addSpecial(g: Guest): void {
  const { a } = g
  for (const name of Object.keys(OPCODES)) for (const [what, selector] of [
    ['null', 0], ['null with RPL 3', 3], ['beyond the table', 0xfff8],
  ] as const) {
    g.probe(`${name} of a selector that is ${what}`, {
      flags: 0x42, setup: () => { a.mov('eax', selector); a.mov('ebx', 7) }, body: () => a.db(...OPCODES[name]),
      expect: { vector: DONE, flags: 0, flagsMask: Flag.ZF, rbx: 7 },
    })
  }
  if (g.mode === 'long') return
  for (const [to, from, after, changed] of [
    [0x10, 0x33, 0x13, true], [0x13, 0x30, 0x13, false], [0x11, 0x31, 0x11, false], [0x10, 1, 0x11, true],
  ] as const) {
    g.probe(`ARPL of 0x${to.toString(16)} by 0x${from.toString(16)}`, {
      setup: () => { a.mov('eax', to); a.mov('ebx', from) }, body: () => a.db(0x63, 0xd8),
      expect: { vector: DONE, rax: after, flags: changed ? Flag.ZF : 0, flagsMask: Flag.ZF },
    })
  }
}

/** CPUID's bits that follow CR4: OSXSAVE. And that XCR0 and XSAVE's size belong together. */
function cpuidGuest(): Guest {
  const g = new Guest('CPUID', 'long')
  g.notInQemu = 'is another processor'
  const { a } = g
  const osxsave = (cr4: number, expected: number): void => {
    g.probe(`OSXSAVE with CR4 0x${cr4.toString(16)}`, {
      setup: () => { a.mov('eax', cr4); a.mov('cr4', 'rax') },
      body: () => {
        a.mov('eax', 1)
        a.mov('ecx', 0)
        a.db(0x0f, 0xa2)
        a.and('ecx', 0x08000000)
        for (const name of ['ebx', 'edx', 'eax']) a.mov(name, 0)
      },
      expect: { vector: DONE, rcx: expected },
    })
  }
  osxsave(0x20, 0)
  osxsave(0x40020, 0x08000000)
  for (const [xcr0, size] of [[1, 576], [7, 832], [3, 576]] as const) {
    g.probe(`leaf 0xd with XCR0 ${xcr0}`, {
      body: () => {
        a.mov('eax', xcr0)
        a.mov('edx', 0)
        a.mov('ecx', 0)
        a.db(0x0f, 0x01, 0xd1)
        a.mov('eax', 0xd)
        a.mov('ecx', 0)
        a.db(0x0f, 0xa2)
      },
      expect: { vector: DONE, rax: 7, rbx: size, rcx: 832, rdx: 0 },
    })
  }
  for (const [name, eax, edx] of [
    ['without x87', 2, 0], ['with AVX but without SSE', 5, 0], ['with MPX, which is not there', 11, 0], ['with a high half', 1, 1],
  ] as const) {
    g.probe(`XSETBV ${name}`, {
      setup: () => { a.mov('eax', eax); a.mov('edx', edx); a.mov('ecx', 0) }, body: () => a.db(0x0f, 0x01, 0xd1),
      expect: { vector: 13, error: 0 },
    })
  }
  for (const [xcr0, vector] of [[3, 6], [7, DONE], [3, 6]] as const) {
    g.probe(`VADDPS with XCR0 ${xcr0}`, {
      setup: () => { a.mov('eax', xcr0); a.mov('edx', 0); a.mov('ecx', 0); a.db(0x0f, 0x01, 0xd1) },
      body: () => a.db(0xc5, 0xf4, 0x58, 0xc2), expect: { vector },
    })
  }
  g.probe('XSETBV at level 3', { ring: 3, body: () => a.db(0x0f, 0x01, 0xd1), expect: { vector: 13, error: 0 } })
  g.probe('XGETBV without OSXSAVE', {
    setup: () => { a.mov('eax', 0x20); a.mov('cr4', 'rax') }, body: () => a.db(0x0f, 0x01, 0xd0), expect: { vector: 6 },
  })
  g.probe('the last basic leaf answers beyond it', {
    body: () => {
      a.mov('eax', 0x7fffffff)
      a.db(0x0f, 0xa2)
      a.mov('esi', 'eax')
      a.mov('eax', 0x16)
      a.db(0x0f, 0xa2)
      a.sub('esi', 'eax')
      for (const name of ['eax', 'ebx', 'ecx', 'edx']) a.mov(name, 0)
    },
    expect: { vector: DONE, rsi: 0 },
  })
  return g
}

export function inspectionGuests(): Guest[] {
  const guests = (['protected', 'long'] as const).map((mode) => {
    const g = new Guest(`inspections ${mode}`, mode)
    for (const name of Object.keys(OPCODES)) addTypes(g, name)
    addSpecial(g)
    return g
  })
  return [...guests, cpuidGuest()]
}
