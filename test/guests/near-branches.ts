/** Near branches beyond CS.limit in 32-bit protected mode: the branch faults, with nothing done (SDM Vol. 2A JMP, CALL, Jcc, LOOPcc). */
import { Access, Flags, Place, Selector, segment } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

const GP = 13
/** Code with base Place.DATA: all of it, and the target beyond its limit, is in one page. */
const CODE = Selector.FREE
const LIMIT = 0x1ff
const TARGET = LIMIT + 1

interface Branch { readonly name: string, readonly opcode: readonly number[], readonly size: 1 | 4, readonly taken: boolean }

const BRANCHES: readonly Branch[] = [
  { name: 'JMP rel32', opcode: [0xe9], size: 4, taken: true },
  { name: 'JMP rel8', opcode: [0xeb], size: 1, taken: true },
  { name: 'CALL', opcode: [0xe8], size: 4, taken: true },
  { name: 'JZ rel32', opcode: [0x0f, 0x84], size: 4, taken: true },
  { name: 'JZ rel8', opcode: [0x74], size: 1, taken: true },
  { name: 'JNZ rel32', opcode: [0x0f, 0x85], size: 4, taken: false },
  { name: 'JNZ rel8', opcode: [0x75], size: 1, taken: false },
  { name: 'LOOP', opcode: [0xe2], size: 1, taken: true },
  { name: 'LOOPNE', opcode: [0xe0], size: 1, taken: false },
  { name: 'JECXZ', opcode: [0xe3], size: 1, taken: false },
]

function addBranch(g: Guest, { name, opcode, size, taken }: Branch): void {
  const { a } = g
  const start = a.fresh('start')
  const branch = a.fresh('branch')
  // The first run decodes the code, the second finds it decoded.
  for (const time of ['first', 'second']) {
    g.probe(`limits: ${name} beyond CS.limit, ${time} time`, {
      setup: () => a.mov('ecx', 2),
      body: () => a.farJump(CODE, { label: start, plus: -Place.DATA }),
      expect: !taken
        ? { vector: DONE }
        : { vector: GP, error: 0, cs: CODE, rip: { label: branch, plus: -Place.DATA }, rcx: 2, rsp: Place.STACK0 },
    })
  }
  g.elsewhere(Place.DATA + (size === 1 ? 0x190 : 0x20), 32, () => {
    a.label(start)
    a.xor('eax', 'eax')
    a.label(branch)
    const from = a.here + opcode.length + size - Place.DATA
    const distance = TARGET - from
    a.db(...opcode, ...[0, 8, 16, 24].slice(0, size).map((shift) => distance >> shift))
    a.int(DONE)
  })
}

export function nearBranchGuests(): Guest[] {
  const g = new Guest('near branches', 'protected')
  g.gdt(CODE, segment(Place.DATA, LIMIT, Access.CODE, Flags.BIG))
  g.elsewhere(Place.DATA + TARGET, 32, (a) => a.int(DONE))
  for (const branch of BRANCHES) addBranch(g, branch)
  return [g]
}
