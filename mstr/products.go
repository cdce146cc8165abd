// Package mstr holds what is known of MicroStrategy both where policies are read and
// where a server is spoken to: the products that licences are counted for, the largest
// number of a privilege, and what ? and * stand for in names.
//
// It knows no policy and no server.
package mstr

// MaxPrivilege is the largest number of a privilege that is believed.
const MaxPrivilege = 65535

// Products returns the names of the products that a named user can consume a licence
// of, in the order of the enumeration in the vendor's OpenAPI document of 2026: its
// place there is a product's number in licence audits and compliance results.
func Products() []string {
	return []string{
		"RESERVED", "CLIENT_REPORTER", "CLIENT_WEB", "CLIENT_APPLICATION", "CLIENT_MOBILE", "CLIENT_ARCHITECT",
		"SERVER_REPORTER", "SERVER_INTELLIGENCE", "SERVER_ANALYTICS", "SERVER_COLLABORATION", "SERVER_DISTRIBUTION",
		"SERVER_TRANSACTION", "SERVER_GEOSPATIAL", "CLIENT_HYPER_WEB", "DRIVERS_BIG_DATA", "DRIVERS_OLAP",
		"GATEWAY_EMM_MOBILE_IRON", "GATEWAY_EMM_AIRWATCH_BY_VMWARE", "GATEWAY_EMM_APP_CONFIG",
		"GATEWAY_EMM_BLACKBERRY_DYNAMICS", "CLIENT_APPLICATION_TABLEAU", "CLIENT_APPLICATION_POWER_BI",
		"CLIENT_APPLICATION_QLIK", "CLIENT_APPLICATION_OFFICE", "CLIENT_HYPER_MOBILE", "CLIENT_HYPER_OFFICE",
		"CLIENT_HYPER_MESSAGING", "CLIENT_HYPER_SCREEN", "CLIENT_HYPER_VOICE", "CLIENT_HYPER_DESKTOP", "CLIENT_HYPER_API",
		"CLIENT_APPLICATION_JUPYTER", "PLACEHOLDER_1", "PLACEHOLDER_2", "CLIENT_APPLICATION_RSTUDIO", "PRODUCT_01",
		"PRODUCT_02", "PRODUCT_03", "PRODUCT_04", "PRODUCT_05", "PRODUCT_06", "CLIENT_DESKTOP",
	}
}
