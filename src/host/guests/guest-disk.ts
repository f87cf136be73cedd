/** A disk in `guest.yaml`: where it comes from, and how the guest sees it. */
import { z } from 'zod'
import { isDiskSerial } from '../disks/check-orders.ts'
import type { DiskEntry } from '../disks/disk-entry.ts'
import { DISK_BUSES } from '../disks/disk-order.ts'
import { graphSchema } from '../disks/graph-schema.ts'

const order = z.strictObject({
  graph: graphSchema,
  bus: z.enum(DISK_BUSES, `is none of ${DISK_BUSES.join(', ')}`).optional(),
  serial: z.string().refine(isDiskSerial, 'is no serial number: 1 to 20 printable ASCII characters, without blanks').optional(),
  blockSize: z.union([z.literal(512), z.literal(4096)], 'is neither 512 nor 4096').optional(),
}, { error: issue => (issue.code === 'unrecognized_keys' ? undefined : 'is no mapping') })

const FIELDS = Object.keys(order.shape).join(', ')

export const guestDiskSchema = z.unknown().superRefine((value, context) => {
  const schema = typeof value === 'object' && value !== null && 'graph' in value && !('kind' in value) ? order : graphSchema
  for (const issue of schema.safeParse(value).error?.issues ?? []) {
    const [unknown] = issue.code === 'unrecognized_keys' ? issue.keys : []
    context.addIssue(unknown === undefined
      ? { code: 'custom', path: issue.path, message: issue.message }
      : { code: 'custom', path: [...issue.path, unknown], message: `there is no such field; there are ${FIELDS}` })
  }
}) as unknown as z.ZodType<DiskEntry>
