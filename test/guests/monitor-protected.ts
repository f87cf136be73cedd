/** The monitor in protected and long mode: the way there, the IDT, its handlers, the end. */
import { at, mem } from './assembler.ts'
import { Gate, Place, Selector, Variable, gate } from './layout.ts'
import type { Guest } from './monitor.ts'
import { DONE, OBSERVED, RECORD_FIELDS, RECORD_SIZE, field, resume } from './record.ts'

const ERROR_VECTORS = [8, 10, 11, 12, 13, 14, 17]
const EFER = 0xc0000080
const USER_VECTORS = [3, 4, DONE]

/** The code from the entry, in real mode, to the label start. */
export function writeProtected(g: Guest): void {
  const { a } = g
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
  loadData(g, Selector.DATA)
  a.mov('esp', Place.STACK0)
  startPaging(g)
  a.lidt(mem('monitor.idtr'))
  a.mov('ax', Selector.TSS)
  a.ltr('ax')
  a.jmp('start')
  writeStubs(g)
  if (g.bits === 64) writeHandler64(g)
  else writeHandler32(g)
  writeObserve(g)
  writeFinish(g)
  a.label('start')
}

function loadData(g: Guest, selector: number): void {
  const { a } = g
  a.mov('eax', selector)
  for (const name of ['ds', 'es', 'ss', 'fs', 'gs']) a.mov(name, 'eax'.slice(1))
}

function startPaging(g: Guest): void {
  const { a, mode } = g
  const pae = mode === 'pae' || mode === 'long'
  const cr4 = (g.options.cr4 ?? 0) | (pae ? 0x20 : 0) | (mode === 'legacy' ? 0x10 : 0)
  a.mov('eax', cr4)
  a.mov('cr4', 'eax')
  if (mode !== 'protected') {
    a.mov('eax', Place.TABLES)
    a.mov('cr3', 'eax')
  }
  if (pae) a.wrmsr(EFER, mode === 'long' ? 0x901n : 0x800n)
  a.mov('eax', (mode === 'protected' ? 0x31 : 0x80010031) | (g.options.cr0 ?? 0))
  a.mov('cr0', 'eax')
  if (mode !== 'long') return
  a.farJump(Selector.CODE64, at('monitor.64'))
  a.use(64)
  a.label('monitor.64')
  loadData(g, Selector.DATA)
  a.mov('rsp', Place.STACK0)
}

function writeStubs(g: Guest): void {
  const { a } = g
  const long = g.bits === 64
  for (let vector = 0; vector < 256; vector++) {
    const dpl = USER_VECTORS.includes(vector) || (vector >= 0x30 && vector < 0x40) ? 3 : 0
    g.idt(vector, gate(Gate.INTERRUPT32, dpl, long ? Selector.CODE64 : Selector.CODE32, a.here, long ? 1 : 0))
    if (!ERROR_VECTORS.includes(vector)) a.push(-1)
    a.push(vector)
    a.jmp('monitor.catch')
  }
}

function writeHandler64(g: Guest): void {
  const { a } = g
  const at64 = (offset: number, name: typeof RECORD_FIELDS[number], width = 'rax'): void => {
    a.mov(width, mem('rsp', offset))
    a.mov(mem('rdi', field(name)), width)
  }
  a.label('monitor.catch')
  saveRegisters64(g)
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
  nextRecord(g, 'rdi')
  loadData(g, Selector.DATA)
  a.mov('rsp', Place.STACK0)
  resume(g)
}

function saveRegisters64(g: Guest): void {
  const { a } = g
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
  saveSegments(g, 'rdi', ['ds', 'es', 'fs', 'gs'])
}

function saveSegments(g: Guest, base: string, names: readonly string[]): void {
  names.forEach((name) => g.a.mov(mem(base, field('segments') + ['ds', 'es', 'fs', 'gs'].indexOf(name) * 2), name))
}

function nextRecord(g: Guest, pointer: string): void {
  g.a.add(pointer, RECORD_SIZE)
  g.a.mov(mem(Variable.RESULT), pointer)
}

/** The frame: vector, error code, EIP, CS, EFLAGS, and ESP and SS where the privilege level changed. */
function writeHandler32(g: Guest): void {
  const { a } = g
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
  saveRegisters32(g)
  a.mov('eax', mem(Variable.PROBE))
  a.mov(mem('edi', 0), 'eax')
  for (const [offset, place] of [
    [0, 4], [4, field('error')], [8, field('rip')], [12, field('selectors')], [16, field('flags')],
  ]) {
    a.mov('eax', mem('esp', offset))
    a.mov(mem('edi', place), 'eax')
  }
  saveStack32(g)
  a.lea('eax', mem('esp', 8))
  a.mov(mem('edi', field('handler')), 'eax')
  a.mov(mem('edi', field('handler') + 4), 'ss')
  nextRecord(g, 'edi')
  loadData(g, Selector.DATA)
  a.mov('esp', Place.STACK0)
  resume(g)
}

function saveRegisters32(g: Guest): void {
  const { a } = g
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
  saveSegments(g, 'edi', ['es', 'fs', 'gs'])
}

/** From another level ESP and SS are in the frame; from virtual-8086 mode the data segments as well. */
function saveStack32(g: Guest): void {
  const { a } = g
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

function writeObserve(g: Guest): void {
  const { a } = g
  const pointer = g.bits === 64 ? 'rdi' : 'edi'
  const accumulator = g.bits === 64 ? 'rax' : 'eax'
  a.label('monitor.observe')
  if (g.bits === 64) saveRegisters64(g)
  else {
    a.mov(mem(Variable.RAX), 'eax')
    a.mov(mem(Variable.RDI), 'edi')
    a.mov(mem(Variable.DS), 'ds')
    saveRegisters32(g)
  }
  a.mov('eax', mem(Variable.PROBE))
  a.mov(mem(pointer, 0), 'eax')
  a.store(mem(pointer, 4), OBSERVED, 32)
  a.store(mem(pointer, field('error')), -1, 32)
  a.store(mem(pointer, field('error') + 4), -1, 32)
  nextRecord(g, pointer)
  a.mov(accumulator, mem(Variable.RAX))
  a.mov(pointer, mem(Variable.RDI))
  a.ret()
}

function writeFinish(g: Guest): void {
  const { a } = g
  a.label('monitor.finish')
  a.cli()
  a.mov('eax', mem(Variable.DUMP))
  a.test('eax', 1)
  a.jcc('e', 'monitor.end')
  a.mov('esi', g.results)
  a.mov('ecx', mem(Variable.RESULT))
  a.sub('ecx', 'esi')
  a.mov('edx', 0xe9)
  a.db(0xfc, 0xf3, 0x6e)
  a.label('monitor.end')
  a.out(0xf4)
  a.hlt()
}
