import type { components } from './schema';

type Schemas = components['schemas'];

export type Change = Schemas['Change'];
export type Channel = Schemas['NotificationChannel'];
export type Deployment = Schemas['Deployment'];
export type Fact = Schemas['Event'];
export type Instance = Schemas['Instance'];
export type InstanceStats = Schemas['InstanceStats'];
export type LogLine = Schemas['LogLine'];
export type Minute = Schemas['RouteMinute'];
export type Notification = Schemas['Notification'];
export type Person = Schemas['Person'];
export type Probe = Schemas['Probe'];
export type Promotion = Schemas['Promotion'];
export type ProjectStatus = Schemas['ProjectStatus'];
export type RegistryAccount = Schemas['RegistryAccount'];
export type Release = Schemas['Release'];
export type Repository = Schemas['Repository'];
export type Session = Schemas['Session'];
export type Slot = Schemas['Slot'];
export type StageSpec = Schemas['StageSpec'];
export type StageStatus = Schemas['StageStatus'];
export type StageTag = Schemas['StageTag'];
export type Step = Schemas['Step'];
export type System = Schemas['System'];
export type Tag = Schemas['Tag'];
export type Token = Schemas['Token'];
