import { readFile } from 'node:fs/promises'
import { hostError } from '../../errors.ts'
import { parseYaml } from '../../yaml-file.ts'
import type { ImageDefinition } from './definition.ts'
import { BUILT_IN_DEFINITIONS, DEBIAN_IMAGE_NAMES } from './names.ts'

/** The definition of an image that comes with Tenon. Throws TenonError IMAGE_UNKNOWN. */
export async function builtInDefinition(name: string): Promise<ImageDefinition> {
  if (!Object.hasOwn(BUILT_IN_DEFINITIONS, name)) {
    throw hostError('IMAGE_UNKNOWN', `there is no image ${JSON.stringify(name)}: there is ${DEBIAN_IMAGE_NAMES.join(', ')}`)
  }
  const file = BUILT_IN_DEFINITIONS[name]
  return parseDefinition(await readFile(new URL(`definitions/${file}`, import.meta.url), 'utf8'), file)
}

/** Reads a user's file. Throws TenonError FILE_UNREADABLE or IMAGE_DEFINITION_INVALID. */
export async function readDefinitionFile(path: string): Promise<ImageDefinition> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw hostError('FILE_UNREADABLE', `the image definition ${path} cannot be read: see to the path and its permissions`, cause)
  })
  return parseDefinition(text, path)
}

/** Reads YAML 1.2. Throws TenonError IMAGE_DEFINITION_INVALID, which names `file`, line, field, and what is wrong with it. */
export async function parseDefinition(text: string, file: string): Promise<ImageDefinition> {
  // Loaded here: most starts of the program do not need it.
  const { imageDefinitionSchema } = await import('./definition.ts')
  return parseYaml(text, file, imageDefinitionSchema, what => hostError('IMAGE_DEFINITION_INVALID', what))
}
