/** Translators that make mistakes, and whether the report names the instruction. */
import { beforeAll, describe, expect, it } from 'vitest'
import { buildPartialEngine } from '../../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../cpu/interpreter/profile-data.ts'
import {
  ADDING, BRANCHING, FAULTING, LOADING, STORING, SUMMING, guestOf, mistaking, patching,
} from '../testing/lockstep-guests.ts'
import type { MakeCompiler } from '../testing/lockstep-guests.ts'
import { Lockstep } from './lockstep.ts'

let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

/** The report, without its first line. */
async function reportOf(code: string, compiler: MakeCompiler): Promise<string> {
  const pair = new Lockstep({
    memory: 4 << 20, engine, startTime: Date.UTC(2024, 1, 29), translationThreshold: 3, compiler, step: 20_000, stepsPerCheckpoint: 4,
  })
  pair.boot({ kernel: await guestOf(code), commandLine: '', entry: 'linux64' })
  try {
    for (let step = 0; step < 9; step++) pair.run()
  } catch (error) {
    expect(error).toMatchObject({ code: 'LOCKSTEP_DIVERGED' })
    return (error as Error).message.slice((error as Error).message.indexOf('\n'))
  }
  return 'there is no difference'
}

const LEA = '0x100005  488d4103  lea rax, [rcx+3]'
const LEA_ROW = '8D mem  LEA Gv,M'

describe('the report of a mistake', () => {
  it.each([
    ['of an instruction', SUMMING, mistaking('4801c8', '4829c8'), '0x100004  4801c8  add rax, rcx', 'registers.RAX', '01  ADD Ev,Gv'],
    ['that memory alone shows', STORING, mistaking('488d4103', '488d4104'), LEA, 'registers.RAX', LEA_ROW],
    ['that shows late', LOADING, mistaking('488d4103', '488d4104'), LEA, 'registers.RAX', LEA_ROW],
    ['of a condition', BRANCHING, mistaking('7403', '7503'), '0x10000a  7403  je 0x10000f', 'registers.RIP', '70+cc  Jcc Jb'],
    // i64.const 0x1234567 for 0x1234566.
    ['in a constant', ADDING, patching('42e78a8d09', '42e68a8d09'),
      '0x100002  480567452301  add rax, 0x1234567', 'registers.RAX', '05  ADD rAX,sIz'],
    ['among exceptions', FAULTING, mistaking('48d1c0', '48d1c8'), '0x100016  48d1c0  rol rax, 1', 'registers.RAX', 'D1 /0  ROL Ev,1'],
  ] as const)('%s names the instruction, what differs and the region', async (_, code, compiler, text, place, row) => {
    const report = (await reportOf(code, compiler)).replaceAll(/(?<=\S) {2,}/g, '  ')
    const [before, after] = report.split(/\ninstruction \d+ goes wrong in translated code:\n/)
    expect(before).toMatch(/found before instruction \d+, RIP 0x1000.*\nprocessor x86-64-v3, 4 MiB of memory.*: 0x[0-9a-f]+, 0x/s)
    expect(after, report).toMatch(new RegExp(`^  ${literal(text)}\n  its row: ${literal(row)}  .*\nbehind it there differ:\n`))
    expect(after).toMatch(new RegExp(`\n  vcpu0\\.${literal(place)}: 0x[0-9a-f]+, 0x`))
    expect(after).toMatch(/\nregion \d+: begins at 0x1000[0-9a-f]+, has \d+ instructions in 1 pages, \w+, stores \w+, was entered/)
    expect(after).toMatch(new RegExp(`\nwhat the interpreter executed there:\n(.*\n)*> ${literal(text)}`))
    expect(after.match(/^> /gm)).toHaveLength(1)
  }, 120_000)
})

const literal = (text: string): string => text.replaceAll(/[[\]()+*.?]/g, '\\$&')
