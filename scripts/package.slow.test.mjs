/**
 * The package as its users get it: packed, installed into an empty folder, run and imported there. Needs the npm registry, and for the
 * guests Debian's mirror, or the image in the user's cache.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ROOT, npm, run, tool } from './lib/run.mjs'

const MINUTE = 60_000

const BOOT_PROGRAM = `import { Machine } from 'tenon'
const machine = await Machine.start({ memory: '256M' })
const { status, stdout } = await machine.run(['uname', '-m'])
console.log(status, stdout, (await machine.stop()).reason)
`

const TYPED_PROGRAM = `import { Machine, TenonError } from 'tenon'
import type { MachineExit, MachineOptions, RunResult } from 'tenon'
const options: MachineOptions = { image: 'busybox', memory: '256M', onProgress: event => void event.kind }
export async function uname(): Promise<string> {
  const machine: Machine = await Machine.start(options)
  const result: RunResult = await machine.run(['uname', '-m'], { stdin: 'text', env: { A: 'b' } })
  for await (const bytes of machine.console) void bytes.length
  const exit: MachineExit = await machine.stop()
  if (exit.reason !== 'power-off') throw new TenonError('CODE', exit.detail)
  return result.stdout
}
`

let folder
let packed

const tenon = (...args) => [...npm(), 'exec', '--offline', '--loglevel=error', '--', 'tenon', ...args]

/** Runs a program that must succeed, in the empty folder if nothing else is said. Returns what it printed. */
async function succeed(command, cwd = folder) {
  const { status, output } = await run(command, { cwd, quiet: true, timeoutMs: 4 * MINUTE })
  if (status !== 0) throw new Error(`${command.join(' ')} ended with status ${status}:\n${output}`)
  return output
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tenon-package-'))
  const output = await succeed([...npm(), 'pack', '--json', '--loglevel=error', '--pack-destination', folder], ROOT)
  // What the build prints comes first. npm 10 lists the packages, npm 11 may name them.
  const [json] = /^[[{]\n[^]*/m.exec(output)
  packed = Object.values(JSON.parse(json))[0]
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  await succeed([...npm(), 'install', `./${packed.filename}`, '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'])
}, 10 * MINUTE)

afterAll(() => rm(folder, { recursive: true, force: true }))

describe('the package', () => {
  it('has what its users need, and nothing for its developers', () => {
    const paths = packed.files.map(({ path }) => path)
    expect(paths).toEqual(expect.arrayContaining(['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js']))
    expect(paths.filter(path => path.endsWith('.wasm'))).not.toEqual([])
    expect(paths.filter(path => /\.test\.|\/testing\/|^dist\/bench\/|^(src|test|scripts)\//.test(path))).toEqual([])
  })

  it('has the command tenon', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    expect(await succeed(tenon('--version'))).toContain(version)
  }, MINUTE)

  it('can be imported', async () => {
    await writeFile(join(folder, 'program.js'), 'import { Machine } from \'tenon\'\nconsole.log(typeof Machine)\n')
    expect(await succeed([process.execPath, 'program.js'])).toMatch(/^(function|object)\n$/)
  }, MINUTE)

  it('has types that a strict program compiles with', async () => {
    await writeFile(join(folder, 'program.ts'), TYPED_PROGRAM)
    const compiler = { module: 'NodeNext', target: 'ES2023', strict: true, skipLibCheck: false, noEmit: true, types: [] }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: compiler, files: ['program.ts'] }))
    expect(await succeed([...tool('typescript', 'tsc'), '-p', 'tsconfig.json'])).toBe('')
  }, MINUTE)

  it('boots a guest, with nothing built here', async context => {
    const { status, output } = await run(tenon('run', '--', 'uname', '-m'), { cwd: folder, quiet: true, timeoutMs: 4 * MINUTE })
    if (/\(DOWNLOAD_\w+\)/.test(output)) context.skip('Debian\'s mirror cannot be reached')
    expect([status, output]).toEqual([0, expect.stringMatching(/(^|\n)x86_64\n$/)])
    await writeFile(join(folder, 'boot.js'), BOOT_PROGRAM)
    expect(await succeed([process.execPath, 'boot.js'])).toBe('0 x86_64\n power-off\n')
  }, 10 * MINUTE)
})
