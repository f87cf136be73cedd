/** The built command, as its users run it. The image is that of the user's cache, fetched if it is not there. */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KERNEL_ADDRESS, pvhNote, syntheticElf } from '../../src/vmm/boot/testing/synthetic-kernels.ts'
import { imageUnavailable } from '../images.ts'

const TENON = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const BOOT = 180_000
const LOCKSTEP = 600_000
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Ended {
  readonly status: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

interface Running {
  readonly child: ReturnType<typeof spawn>
  readonly ended: Promise<Ended>
}

function start(args: readonly string[], options: { readonly env?: Record<string, string>, readonly program?: readonly string[] } = {}): Running {
  const [program, ...first] = options.program ?? [process.execPath, TENON]
  const child = spawn(program, [...first, ...args], { env: { ...process.env, ...options.env } })
  const output: Buffer[][] = [[], []]
  child.stdout.on('data', (chunk: Buffer) => output[0].push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output[1].push(chunk))
  child.stdin.on('error', () => {})
  const ended = new Promise<Ended>(resolve => {
    child.on('close', status => resolve({ status, stdout: Buffer.concat(output[0]), stderr: Buffer.concat(output[1]).toString() }))
  })
  return { child, ended }
}

async function tenon(args: readonly string[], input: string | Buffer = '', env: Record<string, string> = {}): Promise<Ended> {
  const { child, ended } = start(args, { env })
  child.stdin!.end(input)
  return ended
}

const folder = mkdtempSync(join(tmpdir(), 'tenon-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A kernel file of a few bytes of 32-bit code. */
function kernelFile(name: string, ...code: number[]): string {
  const path = join(folder, name)
  const segments = [{ physical: KERNEL_ADDRESS, bytes: Uint8Array.from(code), memorySize: 0x5000 }]
  writeFileSync(path, syntheticElf({ segments, notes: pvhNote(KERNEL_ADDRESS) }))
  return path
}

beforeAll(() => {
  if (!existsSync(TENON)) throw new Error('there is no build in dist/: npm run build')
})

const unavailable = await imageUnavailable()

describe.skipIf(unavailable)('a command in the image busybox', () => {
  test('has its stdin, stdout, stderr and exit status', async () => {
    const bytes = randomBytes(100_000)
    const { status, stdout, stderr } = await tenon(['run', '-m', '256M', '--', 'sh', '-c', 'cat; uname -m >&2; exit 7'], bytes)
    expect([status, stdout.equals(bytes), stderr]).toEqual([7, true, 'x86_64\n'])
  }, BOOT)

  test('may be a script on stdin, and the kernel\'s log may be seen', async () => {
    const { status, stdout, stderr } = await tenon(['run', '--verbose'], 'echo $((6 * 7)); kill -TERM $$')
    expect([status, stdout.toString()]).toEqual([143, '42\n'])
    expect(stderr).toMatch(/Linux version 6\.1.*Power down/s)
  }, BOOT)

  test('ends when nobody reads its output', async () => {
    const { child, ended } = start(['run', '--', 'yes'])
    child.stdout!.once('data', () => child.stdout!.destroy())
    const { status, stderr } = await ended
    expect([status, stderr]).toEqual([141, ''])
  }, BOOT)

  test('ends with the signal that ends us', async () => {
    const { child, ended } = start(['run', '--', 'sh', '-c', 'echo up; sleep 1000'])
    const killed = new Promise<number>(resolve => {
      child.stdout!.once('data', () => {
        child.kill('SIGTERM')
        resolve(performance.now())
      })
    })
    const { status, stderr } = await ended
    expect([status, stderr]).toEqual([143, ''])
    expect(performance.now() - await killed).toBeLessThan(5_000)
  }, BOOT)

  test('cannot have less memory than the image needs', async () => {
    const { status, stderr } = await tenon(['run', '--memory', '64M', '--', 'true'])
    expect([status, stderr]).toEqual([125, expect.stringMatching(/^tenon: the image busybox needs 128M .*\(GUEST_MEMORY_TOO_SMALL\)\n$/)])
  }, BOOT)

  test.skipIf(spawnSync('script', ['--version']).status !== 0)('a shell has a terminal', async () => {
    const { child, ended } = start([], { program: ['script', '-qefc', `"${process.execPath}" "${TENON}"`, join(folder, 'typescript')] })
    let seen = ''
    child.stdout!.on('data', (chunk: Buffer) => {
      seen += chunk
      // The shell asks where its cursor is.
      if (!seen.endsWith('# \u001b[6n')) return
      child.stdin!.write(seen.includes('ttyS0') ? 'exit 3\r' : 'stty size; tty\r')
    })
    const { status, stdout } = await ended
    expect(status).toBe(3)
    expect(stdout.toString()).toMatch(/Ctrl-A x quits.*\d+ \d+\s+\/dev\/ttyS0/s)
  }, BOOT)
})

describe('a kernel of the user\'s own', () => {
  const SAY_HI = [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x68, 0xee, 0xb0, 0x69, 0xee]
  const POWER_OFF = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef]
  const FOR_EVER = [0xeb, 0xfe]

  test('has the console, and ends with status 0 when it powers off', async () => {
    const { status, stdout, stderr } = await tenon(['run', '--kernel', kernelFile('hi', ...SAY_HI, ...POWER_OFF, ...FOR_EVER)])
    expect([status, stdout.toString(), stderr]).toEqual([0, 'hi', ''])
  }, BOOT)

  test.each([
    ['halts for ever', [0xfa, 0xf4, 0xeb, 0xfd], [], /halted its processor .*said nothing.*\(GUEST_CRASHED\)/],
    ['triple-faults', [0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0x0f, 0x0b], [], /triple fault \(RIP 0x1000007, .*\(GUEST_CRASHED\)/],
    ['never boots', FOR_EVER, ['--boot-timeout', '1'], /did not boot within 1 s.*\(GUEST_BOOT_TIMEOUT\)/],
    ['executes zeros', [0], [], /\((GUEST_CRASHED|GUEST_BOOT_TIMEOUT)\)/],
  ])('that %s is an error', async (name, code, more, message) => {
    const { status, stdout, stderr } = await tenon(['run', '--boot-timeout', '5', ...more, '--kernel', kernelFile(name, ...code)])
    expect([status, stdout.toString(), stderr]).toEqual([125, '', expect.stringMatching(message)])
    expect(stderr.match(/\n/g)).toHaveLength(1)
  }, BOOT)

  test.each([
    ['is text', Buffer.from('hello, world'), /\(KERNEL_NOT_RECOGNISED\)/], ['is empty', Buffer.alloc(0), /is empty \(FILE_UNREADABLE\)/],
    ['is zeros', Buffer.alloc(1 << 20), /\(KERNEL_NOT_RECOGNISED\)/],
    ['is cut off', Buffer.from(syntheticElf()).subarray(0, 100), /\(KERNEL_TRUNCATED\)/],
  ])('that %s is refused', async (name, bytes, message) => {
    const path = join(folder, name)
    writeFileSync(path, bytes)
    const { status, stderr } = await tenon(['run', '--kernel', path])
    expect([status, stderr]).toEqual([125, expect.stringMatching(message)])
  }, BOOT)

  test('that is not there is refused, and so are too much and too little memory', async () => {
    const results = await Promise.all([
      tenon(['run', '--kernel', join(folder, 'absent')]),
      tenon(['run', '-m', '64G', '--kernel', kernelFile('any', ...FOR_EVER)]),
      tenon(['run', '-m', '2M', '--kernel', kernelFile('other', ...FOR_EVER)]),
    ])
    expect(results.map(({ status }) => status)).toEqual([125, 125, 125])
    expect(results.map(({ stderr }) => /\((\w+)\)\n$/.exec(stderr)?.[1])).toEqual(['FILE_UNREADABLE', 'MEMORY_TOO_LARGE', 'MEMORY_TOO_SMALL'])
  }, BOOT)
})

/** Goes to 64-bit mode, which is what is translated, with page tables of its own, and adds up numbers for ever. */
function summingKernel(): Buffer {
  const kernel = Buffer.alloc(0x5000)
  const [tables, gdt] = [KERNEL_ADDRESS + 0x2000, KERNEL_ADDRESS + 0x1000]
  const word = (value: number): string => value.toString(16).padStart(8, '0').replace(/(..)(..)(..)(..)/, '$4$3$2$1')
  kernel.write([
    'b8', word(tables), '0f22d8 b820000000 0f22e0', // CR3; CR4.PAE
    'b9800000c0 0f32 0d00010000 0f30 0f20c0 0d00000080 0f22c0', // EFER.LME; CR0.PG
    '0f0115', word(gdt), 'ea', word(KERNEL_ADDRESS + 0x100), '0800', // lgdt; a jump to 64-bit code
  ].join('').replaceAll(' ', ''), 'hex')
  kernel.write('31c031c94801c848ffc1ebf8', 0x100, 'hex') // xor eax, eax; xor ecx, ecx; add rax, rcx; inc rcx; jmp to add
  // GDTR, and at 8 a table with code at selector 8.
  kernel.writeUInt16LE(15, 0x1000)
  kernel.writeUInt32LE(gdt + 8, 0x1002)
  kernel.writeBigUInt64LE(0x00af9b000000ffffn, 0x1010)
  // One page of 2 MiB, mapped to itself.
  kernel.writeUInt32LE(tables + 0x1003, 0x2000)
  kernel.writeUInt32LE(tables + 0x2003, 0x3000)
  kernel.writeUInt32LE(KERNEL_ADDRESS + 0x83, 0x4000 + 8 * KERNEL_ADDRESS / 0x200000)
  return kernel
}

/** The build with a translator that takes ADD RAX, RCX for SUB. */
function buildWithMistake(): string {
  const broken = join(folder, 'broken')
  cpSync(join(ROOT, 'dist'), join(broken, 'dist'), { recursive: true })
  for (const name of ['node_modules', 'package.json']) symlinkSync(join(ROOT, name), join(broken, name))
  appendFileSync(join(broken, 'dist/cpu/translator/compiler.js'), `
    const { submit } = ImmediateCompiler.prototype
    const mistaken = (bytes) => Uint8Array.from(Buffer.from(Buffer.from(bytes).toString('hex').replaceAll('4801c8', '4829c8'), 'hex'))
    ImmediateCompiler.prototype.submit = function (plan) {
      submit.call(this, { ...plan, pages: plan.pages.map((page) => ({ ...page, bytes: mistaken(page.bytes) })) })
    }`)
  return join(broken, 'dist/cli/main.js')
}

describe('a mistake of the translator', () => {
  test('is found in lockstep, and the report names the instruction', async () => {
    const path = kernelFile('summing', ...summingKernel())
    const { ended } = start(['run', '--lockstep', '-m', '32M', '--kernel', path], { program: [process.execPath, buildWithMistake()] })
    const { status, stderr } = await ended
    expect(status, stderr).toBe(125)
    const lines = stderr.split('\n')
    expect(lines[0]).toMatch(/^tenon: translated code does something else .*please report it.* \(LOCKSTEP_DIVERGED\)$/)
    expect(lines[lines.findIndex(line => /^instruction \d+ goes wrong/.test(line)) + 1]).toMatch(/^ {2}0x1000104 +4801c8 +add rax, rcx$/)
  }, LOCKSTEP)
})
