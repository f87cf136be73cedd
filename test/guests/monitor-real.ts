/** The monitor in real mode: the vector table, its handler, the end. */
import { mem } from './assembler.ts'
import { Place, Variable } from './layout.ts'
import type { Guest } from './monitor.ts'
import { OBSERVED, RECORD_FIELDS, RECORD_SIZE, field, resume } from './record.ts'

/** The code from the entry, in real mode, to the label start. */
export function writeReal(g: Guest): void {
  const { a } = g
  a.jmp('start')
  for (let vector = 0; vector < 256; vector++) {
    g.poke(vector * 4, a.here & 0xffff, 4)
    a.push(vector)
    a.jmp('monitor.catch')
  }
  writeRealHandler(g)
  a.org(Place.CODE16)
  a.label('start')
}

/** The frame: vector, IP, CS, FLAGS. Results go to ES:DI. */
function writeRealHandler(g: Guest): void {
  const { a } = g
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
  realRecord(g, () => {
    a.mov(mem('di', 4, 'es'), 'ax')
    for (const [name, offset] of [['rip', 0], ['flags', 4]] as const) realStack(g, name, offset)
    realStack(g, 'selectors', 2)
    a.mov('ax', 'sp')
    a.add('ax', 6)
    a.mov(mem('di', field('rsp'), 'es'), 'ax')
    a.sub('ax', 6)
    a.mov(mem('di', field('handler'), 'es'), 'ax')
  })
  a.xor('ax', 'ax')
  for (const name of ['ds', 'es', 'ss', 'fs', 'gs']) a.mov(name, 'ax')
  a.mov('esp', Place.REAL_STACK)
  resume(g)
  a.label('monitor.observe')
  a.mov(mem(Variable.RAX), 'eax')
  a.mov(mem(Variable.RDI), 'edi')
  a.mov(mem(Variable.DS), 'ds')
  realRecord(g, () => {
    a.mov('ax', OBSERVED)
    a.mov(mem('di', 4, 'es'), 'ax')
  })
  a.mov('edi', mem(Variable.RDI))
  a.mov('eax', mem(Variable.RAX))
  a.ret()
  writeRealFinish(g)
}

function realStack(g: Guest, name: typeof RECORD_FIELDS[number], offset: number): void {
  const { a } = g
  a.mov('di', 'sp')
  a.mov('ax', mem('di', offset, 'ss'))
  a.mov('di', mem(Variable.RESULT))
  a.mov(mem('di', field(name), 'es'), 'ax')
}

/** ES:DI points to the record, which `fill` completes; AX is kept until then. ES is 0 afterwards. */
function realRecord(g: Guest, fill: () => void): void {
  const { a } = g
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

function writeRealFinish(g: Guest): void {
  const { a } = g
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
