import { qcow2Contract } from './testing/contract.ts'

qcow2Contract('64 KiB clusters', {}, 12)
