import { chmodSync, existsSync, mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listenAt, LONGEST_PATH } from './socket-file.ts'
import type { SocketFile } from './socket-file.ts'

let folder: string
let path: string
let files: SocketFile[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-socket-'))
  path = join(folder, 'vsock')
  files = []
})

afterEach(async () => {
  for (const file of files) await file.close()
  chmodSync(folder, 0o700)
  rmSync(folder, { recursive: true })
})

const withCode = (code: string): unknown => expect.objectContaining({ name: 'TenonError', code })

async function listen(server: Server = createServer(), where = path): Promise<SocketFile> {
  const file = await listenAt(server, where)
  files.push(file)
  return file
}

/** Whether somebody answers. */
function answers(): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.on('error', () => resolve(false)).on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

/** A process that listens, and is killed. */
function leaveSocket(): void {
  const program = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))'
  spawnSync(process.execPath, ['-e', program, path])
  expect(statSync(path).isSocket()).toBe(true)
}

test('a socket is its owner\'s alone, and is gone afterwards', async () => {
  const file = await listen()
  expect([readdirSync(folder), statSync(path).mode & 0o777, await answers()]).toEqual([['vsock'], 0o600, true])
  await file.close()
  expect(readdirSync(folder)).toEqual([])
})

test('what a killed process has left is replaced', async () => {
  leaveSocket()
  await listen()
  expect([readdirSync(folder), await answers()]).toEqual([['vsock'], true])
})

test('of several who replace it at once, one has it', async () => {
  leaveSocket()
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => listen()))
  const refusals = results.filter(({ status }) => status === 'rejected')
  expect(refusals.length).toBe(7)
  for (const refusal of refusals) expect((refusal as PromiseRejectedResult).reason).toEqual(withCode('VSOCK_IN_USE'))
  expect([readdirSync(folder), await answers()]).toEqual([['vsock'], true])
})

test('one that is in use is not touched', async () => {
  await listen()
  await expect(listen()).rejects.toEqual(withCode('VSOCK_IN_USE'))
  expect([readdirSync(folder), await answers()]).toEqual([['vsock'], true])
})

test('a file or folder is not touched', async () => {
  writeFileSync(path, 'precious')
  await expect(listen()).rejects.toEqual(withCode('VSOCK_UNFIT'))
  expect([readdirSync(folder), readFileSync(path, 'utf8')]).toEqual([['vsock'], 'precious'])
  rmSync(path)
  mkdirSync(path)
  await expect(listen()).rejects.toEqual(withCode('VSOCK_UNFIT'))
  expect(readdirSync(folder)).toEqual(['vsock'])
})

test('another that has taken the path meanwhile stays', async () => {
  const file = await listen()
  rmSync(path)
  writeFileSync(path, 'new')
  await file.close()
  expect(existsSync(path)).toBe(true)
})

test('a path that cannot be is refused', async () => {
  await expect(listen(createServer(), join(folder, 'x'.repeat(LONGEST_PATH)))).rejects.toEqual(withCode('VSOCK_UNFIT'))
  await expect(listen(createServer(), join(folder, 'none', 'vsock'))).rejects.toThrow('there is no folder')
  writeFileSync(path, '')
  await expect(listen(createServer(), join(path, 'vsock'))).rejects.toEqual(withCode('VSOCK_UNFIT'))
})
