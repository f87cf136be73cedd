/**
 * What is made aside of a path, a file or a folder, and renamed to it when it is whole:
 *
 *     PATH.PLACE-PROCESS-RANDOM.tmp    PLACE: which boot of which host, and which numbering of its processes
 *
 * A process that is killed leaves it, and the next one that makes something there sweeps it away.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isRunning, ownIdentity } from '../processes.ts'

const ASIDE = /\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}-[0-9a-f-]{27}\.tmp$/
/** As earlier versions named it, without a word about its process. */
const NAMELESS = /[.-][0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\.tmp$/
/** Whoever cannot be judged from here, and has written nothing for so long, is gone. */
const ABANDONED_MS = 24 * 60 * 60_000

/** A name that nobody else has. */
export function asideOf(path: string): string { return `${path}.${ownPlace()}-${process.pid}-${randomUUID()}.tmp` }

/** Removes from a folder what no living process is making there. Never rejects: it is no matter if something stays. */
export async function sweepAside(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch((): string[] => [])) {
    const path = join(folder, name)
    if (await isAbandoned(path)) await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const [, place, number] = ASIDE.exec(path) ?? []
  if (place === ownPlace()) return !isRunning(Number(number))
  return (place !== undefined || NAMELESS.test(path)) && Date.now() - await lastWritten(path) > ABANDONED_MS
}

/** Milliseconds since 1970: of a file, or of the last of what is in a folder. */
async function lastWritten(path: string): Promise<number> {
  const names = await readdir(path).catch((): string[] => [])
  const all = [path, ...names.map(name => join(path, name))]
  return Math.max(...await Promise.all(all.map(each => stat(each).then(({ mtimeMs }) => mtimeMs, () => 0))))
}

function ownPlace(): string {
  const { boot, processes, host } = ownIdentity()
  return createHash('sha256').update(JSON.stringify([boot, processes, host])).digest('hex').slice(0, 8)
}
