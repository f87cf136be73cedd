import { hostError } from '../host/errors.ts'
import { readInputFile } from '../host/input-file.ts'
import { checkUserData, parseKeys } from '../host/seed/seed.ts'
import type { SeedWishes } from '../host/seed/seed.ts'

/** What a command line says of a guest's first start: files are named by their paths. */
export interface SeedRequest {
  readonly hostname?: string
  readonly sshKeys: readonly string[]
  readonly userData?: string
}

/** Reads the files. Throws TenonError FILE_UNREADABLE or SEED_INVALID. */
export async function readSeed({ hostname, sshKeys, userData }: SeedRequest): Promise<SeedWishes> {
  const keys: string[] = []
  for (const path of sshKeys) keys.push(...parseKeys(textOf(await readInputFile(path, '--ssh-key'), path), path))
  return { hostname, sshKeys: keys, userData: userData === undefined ? undefined : await checkUserData(await readInputFile(userData, '--user-data'), userData) }
}

function textOf(bytes: Uint8Array, path: string): string {
  if (bytes.length > 1 << 20) throw hostError('SEED_INVALID', `${path} is too large to be a file of keys`)
  return new TextDecoder().decode(bytes)
}
