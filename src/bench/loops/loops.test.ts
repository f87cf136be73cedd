/** The loops, compiled and run on this host, where it has a gcc and is a Linux on x86-64. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runWorkloads } from '../image/init-script.ts'
import { measure } from '../measure.ts'
import { compileLoops, loopCompiler } from './compile.ts'
import { loopWorkloads } from './workloads.ts'

const folder = mkdtempSync(join(tmpdir(), 'tenon-loops-'))
const program = join(folder, 'loops')
const canRun = process.platform === 'linux' && process.arch === 'x64' && await loopCompiler() !== undefined
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.skipIf(!canRun)('the loops', () => {
  beforeAll(() => compileLoops(program))

  it('give their answers and times, by the markers that a guest prints', async () => {
    const workloads = loopWorkloads(true)
    const environment = { PATH: `${folder}:${process.env.PATH}` }
    const script = runWorkloads(workloads, folder).join('\n')
    const command = { program: '/bin/sh', args: ['-c', script], environment, reports: false }
    const { seconds } = await measure(command, { timeoutSeconds: 60, workloads })
    expect(Object.keys(seconds)).toEqual(workloads.map(({ name }) => name))
    expect(Object.values(seconds).every(value => value > 0.001)).toBe(true)
  })

  it('has a SHA-256 that is one', () => {
    const digest = createHash('sha256').update(new Uint8Array(3 * 65536)).digest('hex')
    expect(execFileSync(program, ['sha2', '3'], { encoding: 'utf8', stdio: 'pipe' })).toBe(`${digest.slice(0, 16)}\n`)
  })

  it.each([[[]], [['sieve']], [['no-such-loop', '1']], [['sieve', '1', '2']]])('refuses the arguments %j', args => {
    expect(() => execFileSync(program, args, { stdio: 'pipe' })).toThrow(expect.objectContaining({ status: 2 }) as Error)
  })
})

describe('the compiler', () => {
  it('may be absent', async () => {
    expect(await loopCompiler('tenon-no-such-compiler')).toBeUndefined()
    await expect(compileLoops(program, 'tenon-no-such-compiler')).rejects.toMatchObject({ code: 'BENCH_COMPILER_FAILED' })
  })

  it.skipIf(process.platform === 'win32')('must be for Linux on x86-64', async () => {
    const compiler = (machine: string): string => {
      const file = join(folder, machine)
      writeFileSync(file, `#!/bin/sh\necho ${machine}\n`, { mode: 0o755 })
      return file
    }
    expect(await loopCompiler(compiler('aarch64-linux-gnu'))).toBeUndefined()
    expect(await loopCompiler(compiler('x86_64-apple-darwin'))).toBeUndefined()
    expect(await loopCompiler(compiler('x86_64-linux-gnu'))).toBeDefined()
  })
})
