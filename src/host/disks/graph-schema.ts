/** Graphs of block nodes in files that people write: what is wrong is found before anything is opened, and has its line. */
import { z } from 'zod'
import { DescriptionError } from '../../storage/description.ts'
import { checkDescription } from '../../storage/open.ts'
import type { DiskGraph } from './disk-order.ts'
import { hostEnvironment } from './environment.ts'

const path = z.string().regex(/^[^\0]+$/, 'is no path')

const node = z.looseObject({ kind: z.string('names no kind of node') }, 'is no disk with its kind')

/** A node with its kind: checked to its last field. */
export const describedDiskSchema = node.superRefine((value, context) => {
  try {
    checkDescription(value, hostEnvironment())
  } catch (error) {
    if (!(error instanceof DescriptionError)) throw error
    context.addIssue({ code: 'custom', path: [...error.path], message: error.problem })
  }
}) as z.ZodType<Exclude<DiskGraph, string>>

/** A path or a node. */
export const graphSchema = z.unknown().superRefine((value, context) => {
  const isNode = typeof value === 'object' && value !== null && !Array.isArray(value) && 'kind' in value
  const { error } = isNode ? describedDiskSchema.safeParse(value) : path.safeParse(value)
  for (const { path: at, message } of error?.issues ?? []) {
    const what = isNode || typeof value === 'string' ? message : 'is neither a path nor a graph of block nodes with its kind'
    context.addIssue({ code: 'custom', path: at, message: what })
  }
}) as z.ZodType<DiskGraph>
