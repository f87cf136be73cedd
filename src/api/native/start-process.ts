import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, renameSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { TenonError } from '../../base/errors.ts'
import { explained } from '../../host/cache/file-errors.ts'
import { withLock } from '../../host/cache/lock.ts'
import { hostError } from '../../host/errors.ts'
import { DomainFolder, GUEST_FILES } from '../../host/guests/home.ts'
import { API_VERSION } from './api-version.ts'
import { HostClient } from './client.ts'

export interface HostOptions {
  /** As `homeFolder` gives it. */
  readonly home: string
  /** Tenon's version: that of the process must be the same. */
  readonly version: string
  readonly signal?: AbortSignal
  /** Told what a user should know, such as a process of another version. */
  readonly notice?: (message: string) => void
}

const START_MS = 60_000
const LARGEST_LOG = 1024 ** 2

/** The background process of a domain, or undefined if it does not run. Throws TenonError HOST_PROCESS_FAILED, HOST_PROCESS_VERSION. */
export async function findHost(domain: string, options: HostOptions): Promise<HostClient | undefined> {
  const client = await HostClient.connect(new DomainFolder(options.home, domain).socket)
  if (client !== undefined) checkVersion(client, options)
  return client
}

/** The background process of a domain, which is started if it does not run. Throws as `findHost`, and GUEST_FILES_*. */
export async function ensureHost(domain: string, options: HostOptions): Promise<HostClient> {
  return await findHost(domain, options) ?? await whileNoneStarts(domain, options, async host => host ?? await startHost(domain, options))
}

/** Does something while nobody starts the domain's process; `work` gets the one that runs, if there is one. */
export async function whileNoneStarts<T>(
  domain: string, options: HostOptions, work: (host: HostClient | undefined) => Promise<T>,
): Promise<T> {
  const folder = new DomainFolder(options.home, domain)
  await explained(folder.path, () => mkdir(folder.path, { recursive: true, mode: 0o700 }), GUEST_FILES)
  const lock = { signal: options.signal, timeoutMs: 2 * START_MS, owner: GUEST_FILES }
  return withLock(folder.lock, lock, async () => work(await findHost(domain, options)))
}

function checkVersion({ view }: HostClient, { version, notice }: HostOptions): void {
  const which = `the background process of the domain ${view.domain} (process ${view.process})`
  const other = `${which} is of Tenon ${view.version}, and this is ${version}`
  if (view.api !== API_VERSION) {
    throw hostError('HOST_PROCESS_VERSION', `${other}: stop its guests with that version, or power them off from inside; it ends with them`)
  }
  if (view.version !== version) notice?.(`${other}: guests run the version they were started with until all of the domain have stopped`)
}

async function startHost(domain: string, { home, version }: HostOptions): Promise<HostClient> {
  const folder = new DomainFolder(home, domain)
  const log = openLog(folder.log)
  const entry = fileURLToPath(new URL('./background-process.js', import.meta.url))
  const child = spawn(process.execPath, [entry, home, domain, version], {
    cwd: home, detached: true, windowsHide: true, stdio: ['ignore', log, log, 'ipc'],
  })
  try {
    await ready(child, folder)
  } finally {
    closeSync(log)
  }
  const client = await HostClient.connect(folder.socket)
  if (client === undefined) throw failed(folder, 'it ended at once')
  return client
}

/** Until it listens. Then it is let go. */
async function ready(child: ChildProcess, folder: DomainFolder): Promise<void> {
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MS)
  await new Promise<void>((resolve, reject) => {
    child.once('message', (message: { kind: string, code?: string, message?: string }) => {
      if (message.kind === 'ready') resolve()
      else reject(new TenonError(message.code ?? 'HOST_PROCESS_FAILED', `the background process cannot be started: ${message.message}`))
    })
    child.once('error', error => reject(failed(folder, error.message)))
    child.once('exit', (status, signal) => reject(failed(folder, `it ended with ${signal ?? `status ${status}`}`)))
  }).finally(() => clearTimeout(timer))
  child.unref()
}

function failed(folder: DomainFolder, why: string): Error {
  const which = `the background process of the domain ${folder.domain}`
  return hostError('HOST_PROCESS_FAILED', `${which} cannot be started: ${why}; ${folder.log} may say more`)
}

function openLog(path: string): number {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LARGEST_LOG) renameSync(path, `${path}.1`)
  return openSync(path, 'a', 0o600)
}
