package inside

import (
	"cmp"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A Database is another one that objects refer to.
type Database struct {
	Name       string `json:"name"`
	References int64  `json:"references"`
	Compared   bool   `json:"compared"` // with the storage of that database
	// Of the objects that are referred to there:
	Missing []CrossReference `json:"missing"` // they are not there
	// Lost would be taken by a pack of that storage: nothing there refers to them, and a pack knows no other database.
	Lost       []CrossReference `json:"lost_by_pack"`
	MissingAll int64            `json:"missing_references"`
	LostAll    int64            `json:"lost_references"`
}

// A CrossReference is one to an object of another database.
type CrossReference struct {
	From      zodb.Oid `json:"from"`
	FromClass string   `json:"from_class"`
	FromPath  Path     `json:"from_path"`
	To        zodb.Oid `json:"to"`
	Class     string   `json:"class"`
}

// databases counts the references to each other database.
func (s *Survey) databases() []Database {
	byName := make(map[string]*Database)
	for _, c := range s.findings.cross {
		d := byName[c.database]
		if d == nil {
			d = &Database{Name: c.database, Missing: []CrossReference{}, Lost: []CrossReference{}}
			byName[c.database] = d
		}
		d.References++
	}
	list := []Database{}
	for _, d := range byName {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(a, b Database) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Compare looks for what objects refer to in another database, of which other is the survey.
func (s *Survey) Compare(d *Database, other *Survey, limit int) {
	d.Compared = true
	w := other.walk()
	seen := make(map[cross]bool)
	for _, c := range s.findings.cross {
		if c.database != d.Name || seen[c] {
			continue
		}
		seen[c] = true
		number, ok := other.oids.number(c.to)
		switch {
		case !ok || !other.exists(number):
			d.MissingAll++
			d.Missing = s.appendCross(d.Missing, c, limit)
		case !w.reached(number):
			d.LostAll++
			d.Lost = s.appendCross(d.Lost, c, limit)
		}
	}
}

func (s *Survey) appendCross(list []CrossReference, c cross, limit int) []CrossReference {
	if len(list) >= limit {
		return list
	}
	own := s.classes[c.from]
	r := CrossReference{
		From: s.oids.oid(c.from), FromClass: s.name(own), FromPath: s.path(c.from), To: c.to,
	}
	if c.class != 0 {
		r.Class = s.name(c.class)
	}
	return append(list, r)
}
