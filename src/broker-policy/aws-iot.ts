import type { Channel } from '../messages/topic.ts';
import { json, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';
import type { Credential } from './roster.ts';

/**
 * AWS IoT Core, from its documents, not run here: a CloudFormation template that registers each certificate
 * (SNI_ONLY: by itself, under any CA) and attaches one policy, whose variables the service fills in from
 * the certificate. `${!…}` keeps CloudFormation from taking them for its own.
 */
export const awsIot: PolicyWriter = (roster) => {
  const unknown = roster.backends.filter(({ credential }) => credential === null);
  const gateways = roster.gateways.flatMap(({ credentials }) => credentials);
  const backends = roster.backends.flatMap(({ credential }) => (credential === null ? [] : [credential]));
  return {
    settings: null,
    files: [
      {
        name: 'aws-iot.json',
        text: json({
          AWSTemplateFormatVersion: '2010-09-09',
          Resources: {
            GatewayPolicy: policy([
              ...connect(['${!iot:Certificate.Subject.CommonName}']),
              allow(['iot:Publish', 'iot:RetainPublish'], written.map(own('topic'))),
              allow(['iot:Subscribe'], read.map(own('topicfilter'))),
              allow(['iot:Receive'], read.map(own('topic'))),
            ]),
            BackendPolicy: policy([
              // A backend may hold several sessions; none has a gateway's client id.
              ...connect(['${!iot:Certificate.Subject.CommonName}', 'merestone-consume-*']),
              allow(['iot:Subscribe'], [arn('topicfilter', 't/*')]),
              allow(['iot:Receive'], [arn('topic', 't/*')]),
            ]),
            ...registrations(gateways, 'GatewayPolicy'),
            ...registrations(backends, 'BackendPolicy'),
          },
        }),
      },
    ],
    refusals: unknown.map(
      ({ commonName }) =>
        `backend '${commonName}': AWS IoT Core attaches its policy to a certificate; put it among those of --certificates`,
    ),
  };
};

function arn(kind: string, name: string): { 'Fn::Sub': string } {
  return { 'Fn::Sub': `arn:\${AWS::Partition}:iot:\${AWS::Region}:\${AWS::AccountId}:${kind}/${name}` };
}

function own(kind: string): (channel: Channel) => object {
  const root = 't/${!iot:Certificate.Subject.Organization}/${!iot:Certificate.Subject.CommonName}';
  return (channel) => arn(kind, `${root}/${channel}`);
}

function allow(actions: readonly string[], resources: readonly object[]): object {
  return { Effect: 'Allow', Action: actions, Resource: resources };
}

/** The will is published under the topic rules; the condition lets a client name one at all. */
function connect(clientIds: readonly string[]): object[] {
  const condition = { 'ForAllValues:StringEquals': { 'iot:ConnectAttributes': ['LastWill'] } };
  const resources = clientIds.map((clientId) => arn('client', clientId));
  return [{ ...allow(['iot:Connect'], resources), Condition: condition }];
}

function policy(statements: readonly object[]): object {
  return {
    Type: 'AWS::IoT::Policy',
    Properties: { PolicyDocument: { Version: '2012-10-17', Statement: statements } },
  };
}

function registrations(credentials: readonly Credential[], policyName: string): Record<string, object> {
  return Object.fromEntries(
    credentials.flatMap(({ fingerprintSha256, pem }) => [
      [
        `Certificate${fingerprintSha256}`,
        {
          Type: 'AWS::IoT::Certificate',
          Properties: { CertificateMode: 'SNI_ONLY', CertificatePem: pem, Status: 'ACTIVE' },
        },
      ],
      [
        `Attachment${fingerprintSha256}`,
        {
          Type: 'AWS::IoT::PolicyPrincipalAttachment',
          Properties: {
            PolicyName: { Ref: policyName },
            Principal: { 'Fn::GetAtt': [`Certificate${fingerprintSha256}`, 'Arn'] },
          },
        },
      ],
    ]),
  );
}
